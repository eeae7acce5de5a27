// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/route.h"

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>

#include <cstring>
#include <string>

namespace cellrun::sys {
namespace {

constexpr int kLoopback = 1;  // its index in every namespace

// One request, built in the order in which the kernel reads it.
class Request {
 public:
  template <typename Head>
  Request(std::uint16_t type, std::uint16_t flags, const Head& head) {
    header_.nlmsg_type = type;
    header_.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    bytes_.append(reinterpret_cast<const char*>(&header_), sizeof header_);
    AppendHead(head);
  }
  template <typename Head>
  void AppendHead(const Head& head) {
    bytes_.append(reinterpret_cast<const char*>(&head), sizeof head);
    Align();
  }
  void Add(std::uint16_t type, std::string_view value) {
    const std::size_t start = Open(type);
    bytes_ += value;
    Close(start);
  }
  void Add(std::uint16_t type, std::span<const std::uint8_t> value) {
    Add(type, std::string_view(reinterpret_cast<const char*>(value.data()), value.size()));
  }
  void AddNumber(std::uint16_t type, std::uint32_t value) {
    Add(type, std::string_view(reinterpret_cast<const char*>(&value), sizeof value));
  }
  // What is added until Close lies inside.
  std::size_t Open(std::uint16_t type) {
    const std::size_t start = bytes_.size();
    const rtattr attribute{.rta_len = 0, .rta_type = type};
    bytes_.append(reinterpret_cast<const char*>(&attribute), sizeof attribute);
    return start;
  }
  void Close(std::size_t start) {
    const auto length = static_cast<std::uint16_t>(bytes_.size() - start);
    memcpy(bytes_.data() + start, &length, sizeof length);
    Align();
  }
  [[nodiscard]] std::string_view Finish() {
    header_.nlmsg_len = static_cast<std::uint32_t>(bytes_.size());
    memcpy(bytes_.data(), &header_, sizeof header_);
    return bytes_;
  }

 private:
  void Align() { bytes_.resize(NLMSG_ALIGN(bytes_.size())); }
  nlmsghdr header_{};
  std::string bytes_;
};

ifinfomsg UpLink(int index) {
  ifinfomsg link{};
  link.ifi_index = index;
  link.ifi_flags = IFF_UP;
  link.ifi_change = IFF_UP;
  return link;
}
std::string_view WithEnd(const char* text) {
  return {text, strlen(text) + 1};
}
std::uint8_t FamilyOf(std::span<const std::uint8_t> address) {
  return address.size() == 4 ? AF_INET : AF_INET6;
}

}  // namespace

Result<RouteSocket> RouteSocket::Open() {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd.valid()) return ErrnoError("socket(AF_NETLINK)");
  return RouteSocket(std::move(fd));
}

Result<void> RouteSocket::Ask(std::string_view message) const {
  if (send(fd_.get(), message.data(), message.size(), 0) < 0) return ErrnoError("send(NETLINK)");
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char echo[1024];
  } answer{};
  ssize_t got = 0;
  do {
    got = recv(fd_.get(), &answer, sizeof answer, 0);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return ErrnoError("recv(NETLINK)");
  if (static_cast<std::size_t>(got) < sizeof(nlmsghdr) + sizeof(int) ||
      answer.header.nlmsg_type != NLMSG_ERROR)
    return Error(EPROTO, "recv(NETLINK)");
  if (answer.error.error != 0) return Error(-answer.error.error, "rtnetlink");
  return {};
}

Result<void> RouteSocket::AddVeth(const Veth& veth) const {
  Request request(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, UpLink(veth.index));
  // One queue: each more is a kernel object of its own, and the link has no use for it.
  const auto one_queue = [&request] {
    request.AddNumber(IFLA_NUM_TX_QUEUES, 1);
    request.AddNumber(IFLA_NUM_RX_QUEUES, 1);
  };
  request.Add(IFLA_IFNAME, WithEnd(veth.name));
  one_queue();
  const std::size_t info = request.Open(IFLA_LINKINFO);
  request.Add(IFLA_INFO_KIND, std::string_view("veth"));
  const std::size_t data = request.Open(IFLA_INFO_DATA);
  const std::size_t peer = request.Open(VETH_INFO_PEER);
  ifinfomsg other{};  // it cannot be up before the pair is complete
  other.ifi_index = veth.index;
  request.AppendHead(other);
  request.Add(IFLA_IFNAME, WithEnd(veth.peer_name));
  one_queue();
  request.AddNumber(IFLA_NET_NS_FD, static_cast<std::uint32_t>(veth.peer_namespace.get()));
  request.Close(peer);
  request.Close(data);
  request.Close(info);
  return Ask(request.Finish());
}

Result<void> RouteSocket::RaiseLink(int index) const {
  Request request(RTM_NEWLINK, 0, UpLink(index));
  return Ask(request.Finish());
}

Result<void> RouteSocket::AddAddress(int index, std::span<const std::uint8_t> address,
                                     int prefix) const {
  ifaddrmsg head{};
  head.ifa_family = FamilyOf(address);
  head.ifa_prefixlen = static_cast<std::uint8_t>(prefix);
  head.ifa_flags = head.ifa_family == AF_INET6 ? IFA_F_NODAD : 0;
  head.ifa_scope = RT_SCOPE_UNIVERSE;
  head.ifa_index = static_cast<std::uint32_t>(index);
  Request request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, head);
  request.Add(IFA_LOCAL, address);
  request.Add(IFA_ADDRESS, address);
  return Ask(request.Finish());
}

Result<void> RouteSocket::AddDefaultRoute(int index, std::span<const std::uint8_t> gateway,
                                          const Tcp* tcp) const {
  rtmsg head{};
  head.rtm_family = FamilyOf(gateway);
  head.rtm_table = RT_TABLE_MAIN;
  head.rtm_protocol = RTPROT_STATIC;
  head.rtm_scope = RT_SCOPE_UNIVERSE;
  head.rtm_type = RTN_UNICAST;
  Request request(RTM_NEWROUTE, NLM_F_CREATE, head);
  request.Add(RTA_GATEWAY, gateway);
  request.AddNumber(RTA_OIF, static_cast<std::uint32_t>(index));
  if (tcp != nullptr) {
    const std::size_t metrics = request.Open(RTA_METRICS);
    request.Add(RTAX_CC_ALGO, WithEnd(tcp->congestion_control));
    request.AddNumber(RTAX_INITCWND, tcp->first_segments);
    request.Close(metrics);
  }
  return Ask(request.Finish());
}

// IPv4 looks addresses up in the local table when it binds. IPv6 reads that table first whatever is
// more specific elsewhere, so there the route stands beside the link's own in the main table.
Result<void> RouteSocket::OwnEverything(int family) const {
  rtmsg head{};
  head.rtm_family = static_cast<std::uint8_t>(family);
  head.rtm_table = family == AF_INET ? RT_TABLE_LOCAL : RT_TABLE_MAIN;
  head.rtm_protocol = RTPROT_STATIC;
  head.rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
  head.rtm_type = RTN_LOCAL;
  Request request(RTM_NEWROUTE, NLM_F_CREATE, head);
  request.AddNumber(RTA_OIF, kLoopback);
  return Ask(request.Finish());
}

}  // namespace cellrun::sys
