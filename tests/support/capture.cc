// SPDX-License-Identifier: Apache-2.0
#include "tests/support/capture.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstring>
#include <span>
#include <utility>

namespace cellrun::test {
namespace {

constexpr unsigned kFrameBytes = 256;  // heads are enough
constexpr unsigned kFrames = 1U << 16;
constexpr unsigned kBlockBytes = 1U << 16;
constexpr std::size_t kLinkAt = 32;  // of sockaddr_ll: behind tpacket2_hdr, aligned
static_assert(kLinkAt == TPACKET_ALIGN(static_cast<int>(sizeof(tpacket2_hdr))));

std::uint16_t WordAt(std::string_view bytes, std::size_t at) {
  if (bytes.size() < at + 2) return 0;
  return static_cast<std::uint16_t>(static_cast<std::uint8_t>(bytes[at]) << 8 |
                                    static_cast<std::uint8_t>(bytes[at + 1]));
}
std::string AddressText(int family, std::string_view bytes) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  (void)inet_ntop(family, bytes.data(), text.data(), text.size());
  return family == AF_INET6 ? "[" + std::string(text.data()) + "]" : std::string(text.data());
}

bool IsHousekeeping6(std::string_view icmp) {
  constexpr int kListenerFirst = 130, kListenerLast = 136, kReport = 143;
  const int type = icmp.empty() ? -1 : static_cast<std::uint8_t>(icmp[0]);
  return (type >= kListenerFirst && type <= kListenerLast) || type == kReport;
}

PacketEnds EndsOfTransport(int protocol, const std::string& from, const std::string& to,
                           std::string_view payload) {
  const bool tcp = protocol == IPPROTO_TCP, udp = protocol == IPPROTO_UDP;
  if (tcp || udp) {
    const std::string name = tcp ? "tcp " : "udp ";
    return {.from = name + from + ":" + std::to_string(WordAt(payload, 0)),
            .to = name + to + ":" + std::to_string(WordAt(payload, 2))};
  }
  if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
    return {.from = "icmp " + from,
            .to = "icmp " + to,
            .housekeeping = protocol == IPPROTO_ICMPV6 && IsHousekeeping6(payload)};
  }
  const std::string name = "protocol " + std::to_string(protocol) + " ";
  return {.from = name + from, .to = name + to};
}

// "icmp 203.0.113.7" and "tcp 203.0.113.7:443" are both at "203.0.113.7".
std::string AddressOf(const std::string& end) {
  const std::string place = end.substr(end.rfind(' ') + 1);
  if (place.starts_with('[')) return place.substr(0, place.find(']') + 1);
  return place.substr(0, place.find(':'));
}

}  // namespace

PacketEnds EndsOf(std::uint16_t ethertype, std::string_view packet) {
  constexpr std::size_t kFrom4 = 12, kTo4 = 16, kSize4 = 20, kFrom6 = 8, kTo6 = 24, kSize6 = 40;
  if (ethertype == ETH_P_ARP) return {.housekeeping = true};
  if (ethertype == ETH_P_IP && packet.size() >= kSize4) {
    const std::size_t head = (static_cast<std::uint8_t>(packet[0]) & 0xFU) * 4;
    return EndsOfTransport(
        static_cast<std::uint8_t>(packet[9]), AddressText(AF_INET, packet.substr(kFrom4)),
        AddressText(AF_INET, packet.substr(kTo4)), packet.substr(std::min(head, packet.size())));
  }
  if (ethertype == ETH_P_IPV6 && packet.size() >= kSize6) {
    int next = static_cast<std::uint8_t>(packet[6]);
    std::string_view payload = packet.substr(kSize6);
    if (next == IPPROTO_HOPOPTS && payload.size() >= 8) {  // as in reports of MLD
      next = static_cast<std::uint8_t>(payload[0]);
      const std::size_t bytes = (static_cast<std::uint8_t>(payload[1]) + 1UL) * 8;
      payload.remove_prefix(std::min(bytes, payload.size()));
    }
    return EndsOfTransport(next, AddressText(AF_INET6, packet.substr(kFrom6)),
                           AddressText(AF_INET6, packet.substr(kTo6)), payload);
  }
  return {.from = "", .to = "ethertype " + std::to_string(ethertype)};
}

// One interface's packets, as the kernel writes them down.
class Capture::Ring {
 public:
  explicit Ring(const std::string& interface)
      : fd_(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    const int version = TPACKET_V2;
    EXPECT_EQ(setsockopt(fd_.get(), SOL_PACKET, PACKET_VERSION, &version, sizeof version), 0);
    const tpacket_req request{.tp_block_size = kBlockBytes,
                              .tp_block_nr = kFrames * kFrameBytes / kBlockBytes,
                              .tp_frame_size = kFrameBytes,
                              .tp_frame_nr = kFrames};
    EXPECT_EQ(setsockopt(fd_.get(), SOL_PACKET, PACKET_RX_RING, &request, sizeof request), 0)
        << strerror(errno);
    constexpr std::size_t kBytes = std::size_t{kFrames} * kFrameBytes;
    void* mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    EXPECT_NE(mapped, MAP_FAILED) << strerror(errno);
    if (mapped != MAP_FAILED) frames_ = {static_cast<std::uint8_t*>(mapped), kBytes};
    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0)
        << interface << ": " << strerror(errno);
  }
  ~Ring() {
    if (!frames_.empty()) (void)munmap(frames_.data(), frames_.size());
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Packets that were sent since the last call.
  template <typename Take>
  void Drain(Take take) {
    while (!frames_.empty()) {
      auto* head = reinterpret_cast<tpacket2_hdr*>(&frames_[std::size_t{next_} * kFrameBytes]);
      std::atomic_ref<std::uint32_t> status(head->tp_status);
      if ((status.load(std::memory_order_acquire) & TP_STATUS_USER) == 0) return;
      const auto* bytes = reinterpret_cast<const char*>(head);
      sockaddr_ll link{};
      memcpy(&link, bytes + kLinkAt, sizeof link);
      if (link.sll_pkttype == PACKET_OUTGOING) {
        take(ntohs(link.sll_protocol), std::string_view(bytes + head->tp_net, head->tp_snaplen));
      }
      status.store(TP_STATUS_KERNEL, std::memory_order_release);
      next_ = (next_ + 1) % kFrames;
    }
  }
  // Since the last call.
  [[nodiscard]] unsigned Lost() const {
    tpacket_stats stats{};
    socklen_t size = sizeof stats;
    EXPECT_EQ(getsockopt(fd_.get(), SOL_PACKET, PACKET_STATISTICS, &stats, &size), 0);
    return stats.tp_drops;
  }

 private:
  UniqueFd fd_;
  std::span<std::uint8_t> frames_;
  unsigned next_ = 0;
};

Capture::Capture(const std::vector<std::string>& interfaces) {
  for (const std::string& interface : interfaces)
    rings_.push_back(std::make_unique<Ring>(interface));
  thread_ = std::thread([this] { Run(); });
}

Capture::~Capture() {
  stop_ = true;
  thread_.join();
  for (const auto& ring : rings_) EXPECT_EQ(ring->Lost(), 0U) << "packets were not counted";
}

void Capture::Run() {
  std::vector<pollfd> waiting;
  for (const auto& ring : rings_)
    waiting.push_back({.fd = ring->fd(), .events = POLLIN, .revents = 0});
  while (!stop_) {
    if (poll(waiting.data(), waiting.size(), 50) <= 0) continue;
    const std::lock_guard lock(mutex_);
    Drain();
  }
}

void Capture::Drain() {
  for (const auto& ring : rings_) {
    ring->Drain([this](std::uint16_t ethertype, std::string_view packet) {
      const PacketEnds ends = EndsOf(ethertype, packet);
      if (ends.housekeeping) return;
      const bool error = ends.to.starts_with("icmp ");
      const bool judged = permitted_.contains(ends.to) || permitted_.contains(ends.from) ||
                          (error && permitted_addresses_.contains(AddressOf(ends.to)));
      ++(judged ? judged_ : strays_)[ends.to];
      ++packets_;
    });
  }
}

void Capture::Permit(const std::string& end) {
  const std::lock_guard lock(mutex_);
  permitted_.insert(end);
  permitted_addresses_.insert(AddressOf(end));
}

long Capture::CountTo(const std::string& end) {
  const std::lock_guard lock(mutex_);
  Drain();
  const auto found = judged_.find(end);
  return found == judged_.end() ? 0 : found->second;
}

std::map<std::string, long> Capture::Strays() {
  const std::lock_guard lock(mutex_);
  Drain();
  return strays_;
}

std::string Capture::DescribeStrays() {
  std::string text;
  for (const auto& [to, count] : Strays())
    text += (text.empty() ? "" : ", ") + to + " (" + std::to_string(count) + ")";
  return text;
}

void Capture::Settle() {
  // Longer than TCP waits before it sends something again.
  constexpr std::chrono::milliseconds kQuiet{300}, kStep{20}, kLimit{10'000};
  long last = -1;
  std::chrono::milliseconds quiet{0}, all{0};
  for (; quiet < kQuiet && all < kLimit; quiet += kStep, all += kStep) {
    std::this_thread::sleep_for(kStep);
    const std::lock_guard lock(mutex_);
    Drain();
    if (std::exchange(last, packets_) != packets_) quiet = std::chrono::milliseconds(0);
  }
  EXPECT_LT(all, kLimit) << "packets do not end";
  Forget();
}

void Capture::Forget() {
  const std::lock_guard lock(mutex_);
  Drain();
  judged_.clear();
  strays_.clear();
}

}  // namespace cellrun::test
