// SPDX-License-Identifier: Apache-2.0
/*
 * The second wall around a cell's network: whatever got around the first one (the network namespace
 * and the broker's judgement of each connect) is refused here with EPERM. One set of programs for
 * all cells; what each may reach lies in the storage of its cgroup.
 *
 * The hooks belong to the cgroup in which a socket was made, not to the task that uses it. Only
 * contexts and helpers of the kernel's stable interface are used, so there is nothing to relocate
 * and no kernel type to describe: reading kernel memory would need the kernel's own type
 * information and a licence other than the project's.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "egress_wall.h"

#define REFUSE 0
#define PASS 1

#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ICMP 1
#define IPPROTO_IGMP 2
#define IPPROTO_TCP 6
#define IPPROTO_UDP 17
#define IPPROTO_ICMPV6 58

#define SECOND 1000000000ULL

struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_STORAGE);
	__type(key,
	       __u64); /* all programs of a cgroup share it, and it lives as long as the cgroup */
	__type(value, struct wall_reach);
} reach SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE);
	__type(key, __u64);
	__type(value, struct wall_tally);
} tally SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 256 * 1024);
} refusals SEC(".maps");

/* Set before loading: programs on a cgroup may ask for it from Linux 6.10 on. */
const volatile __u32 pid_is_known = 0;

struct attempt {
	__u32 hook, family, type, protocol;
	__u32 address[4];
	__u32 port;
};

/*
 * Refuses, and says so: in a record where there is room for one, in the counters always. A packet
 * has no caller: it is sent in whosever turn it is.
 */
static __always_inline int refuse_for(const struct wall_reach *cell, const struct attempt *made,
				      __u32 reason, int has_caller)
{
	struct wall_tally *count = bpf_get_local_storage(&tally, 0);
	struct wall_refusal *said;
	__u64 second = bpf_ktime_get_ns() / SECOND;

	/* Added to atomically: a packet's program may interrupt a connect's on the same CPU. */
	__sync_fetch_and_add(&count->refused, 1);
	if (count->second != second) {
		count->second = second;
		count->recorded = 0;
	}
	if (count->recorded >= WALL_RECORDS_PER_SECOND)
		goto unrecorded;
	said = bpf_ringbuf_reserve(&refusals, sizeof(*said), 0);
	if (!said)
		goto unrecorded;
	__sync_fetch_and_add(&count->recorded, 1);
	said->cgroup = cell->cgroup;
	said->hook = made->hook;
	said->reason = reason;
	said->family = made->family;
	said->type = made->type;
	said->protocol = made->protocol;
	__builtin_memcpy(said->address, made->address, sizeof(said->address));
	said->port = made->port;
	said->pid = 0;
	said->uid = 0;
	__builtin_memset(said->comm, 0, sizeof(said->comm));
	if (!has_caller)
		goto submit;
	if (pid_is_known)
		said->pid = bpf_get_current_pid_tgid() >> 32;
	said->uid = (__u32)bpf_get_current_uid_gid();
	bpf_get_current_comm(said->comm, sizeof(said->comm));
submit:
	bpf_ringbuf_submit(said, 0);
	return REFUSE;
unrecorded:
	__sync_fetch_and_add(&count->unrecorded, 1);
	return REFUSE;
}

static __always_inline int refuse(const struct wall_reach *cell, const struct attempt *made,
				  __u32 reason)
{
	return refuse_for(cell, made, reason, 1);
}

static __always_inline int is_mapped(const __u32 *address)
{
	return address[0] == 0 && address[1] == 0 && address[2] == bpf_htonl(0xffff);
}

/* The unspecified address means this host, to a connect as to a bind. */
static __always_inline int is_own4(__u32 address)
{
	return address == 0 || (address & bpf_htonl(0xff000000)) == bpf_htonl(0x7f000000);
}

static __always_inline int is_own6(const __u32 *address)
{
	return address[0] == 0 && address[1] == 0 && address[2] == 0 &&
	       (address[3] == 0 || address[3] == bpf_htonl(1));
}

/*
 * Loops without branches: the verifier walks every path, and a branch for each range makes loading
 * take five times as long. 1 for 0, else 0.
 */
static __always_inline __u32 is_zero(__u32 number)
{
	return ~(number | (0 - number)) >> 31;
}

/* 1 for the first `count` ranges. */
static __always_inline __u32 counts(__u32 index, __u32 count)
{
	return (index - count) >> 31;
}

static __always_inline __u32 in_range4(const struct wall_reach *cell, __u32 address)
{
	__u32 found = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < WALL_RANGES; i++) {
		const struct wall_range4 *range = &cell->range4[i];

		found |=
		    counts(i, cell->ranges4) & is_zero((address & range->mask) ^ range->address);
	}
	return found;
}

static __always_inline __u32 in_range6(const struct wall_reach *cell, const __u32 *address)
{
	__u32 found = 0;

#pragma clang loop unroll(disable)
	for (__u32 i = 0; i < WALL_RANGES; i++) {
		const struct wall_range6 *range = &cell->range6[i];
		__u32 different = 0;

		for (__u32 part = 0; part < 4; part++)
			different |= (address[part] & range->mask[part]) ^ range->address[part];
		found |= counts(i, cell->ranges6) & is_zero(different);
	}
	return found;
}

static __always_inline int is_own(const struct attempt *made)
{
	if (made->family == AF_INET)
		return is_own4(made->address[0]);
	if (is_mapped(made->address))
		return is_own4(made->address[3]);
	return is_own6(made->address);
}

static __always_inline __u32 in_range(const struct wall_reach *cell, const struct attempt *made)
{
	if (made->family == AF_INET)
		return in_range4(cell, made->address[0]);
	if (is_mapped(made->address))
		return in_range4(cell, made->address[3]);
	return in_range6(cell, made->address);
}

/* Where the broker listens. No task of the cell is there, and no way leads out of it but to the
 * cell. */
static __always_inline int is_gateway(const struct wall_reach *cell, __u64 netns)
{
	return cell->gateway_netns && netns == cell->gateway_netns;
}

/* Whether sockets of that network namespace are the cell's at all; one that it made itself has
 * loopback only. */
static __always_inline int is_foreign(const struct wall_reach *cell, __u64 netns)
{
	if (netns == cell->netns || is_gateway(cell, netns))
		return 0;
	return !cell->nested || netns == cell->host_netns;
}

static __always_inline int judge(const struct attempt *made, __u64 netns)
{
	const struct wall_reach *cell = bpf_get_local_storage(&reach, 0);

	if (!cell->netns)
		return refuse(cell, made, WALL_NOT_OPEN);
	if (is_foreign(cell, netns))
		return refuse(cell, made, WALL_NAMESPACE);
	if (made->hook == WALL_BIND || is_own(made) || is_gateway(cell, netns))
		return PASS;
	/* How libc sorts addresses: nothing can be sent to port 0. */
	if (made->hook == WALL_CONNECT && made->type == SOCK_DGRAM && made->port == 0)
		return PASS;
	if (netns != cell->netns || !in_range(cell, made))
		return refuse(cell, made, WALL_ADDRESS);
	return PASS;
}

SEC("cgroup/sock_create")
int on_create(struct bpf_sock *context)
{
	const struct wall_reach *cell = bpf_get_local_storage(&reach, 0);
	struct attempt made = {
	    .hook = WALL_CREATE,
	    .family = context->family,
	    .type = context->type,
	    .protocol = context->protocol,
	};

	if (!cell->netns && cell->building)
		return PASS;
	if (!cell->netns)
		return refuse(cell, &made, WALL_NOT_OPEN);
	if (is_foreign(cell, bpf_get_netns_cookie(context)))
		return refuse(cell, &made, WALL_NAMESPACE);
	if ((made.type == SOCK_STREAM && made.protocol == IPPROTO_TCP) ||
	    (made.type == SOCK_DGRAM && made.protocol == IPPROTO_UDP))
		return PASS;
	return refuse(cell, &made, WALL_KIND);
}

static __always_inline int judge4(struct bpf_sock_addr *context, __u32 hook)
{
	struct attempt made = {
	    .hook = hook,
	    .family = AF_INET,
	    .type = context->type,
	    .protocol = context->protocol,
	    .address = {context->user_ip4},
	    .port = context->user_port,
	};

	return judge(&made, bpf_get_netns_cookie(context));
}

static __always_inline int judge6(struct bpf_sock_addr *context, __u32 hook)
{
	struct attempt made = {
	    .hook = hook,
	    .family = AF_INET6,
	    .type = context->type,
	    .protocol = context->protocol,
	    .port = context->user_port,
	};

	made.address[0] = context->user_ip6[0];
	made.address[1] = context->user_ip6[1];
	made.address[2] = context->user_ip6[2];
	made.address[3] = context->user_ip6[3];
	return judge(&made, bpf_get_netns_cookie(context));
}

SEC("cgroup/bind4")
int on_bind4(struct bpf_sock_addr *context)
{
	return judge4(context, WALL_BIND);
}

SEC("cgroup/bind6")
int on_bind6(struct bpf_sock_addr *context)
{
	return judge6(context, WALL_BIND);
}

SEC("cgroup/connect4")
int on_connect4(struct bpf_sock_addr *context)
{
	return judge4(context, WALL_CONNECT);
}

SEC("cgroup/connect6")
int on_connect6(struct bpf_sock_addr *context)
{
	return judge6(context, WALL_CONNECT);
}

SEC("cgroup/sendmsg4")
int on_send4(struct bpf_sock_addr *context)
{
	return judge4(context, WALL_SEND);
}

SEC("cgroup/sendmsg6")
int on_send6(struct bpf_sock_addr *context)
{
	return judge6(context, WALL_SEND);
}

/*
 * What the kernel itself sends for a network namespace, by sockets that are made with it: neighbour
 * discovery, multicast reports, ICMP. No socket of a program gets to these protocols, see
 * on_create.
 */
static __always_inline int is_control(const struct attempt *made)
{
	if (made->family == AF_INET)
		return made->protocol == IPPROTO_ICMP || made->protocol == IPPROTO_IGMP;
	if (made->protocol == IPPROTO_HOPOPTS)
		return (made->address[0] & bpf_htonl(0xffff0000)) == bpf_htonl(0xff020000);
	return made->protocol == IPPROTO_ICMPV6;
}

/*
 * Each other packet that a socket of the cell sends, by whatever call it was made. Which namespace
 * it is in cannot be asked for here before Linux 6.15: what a nested one sends passes the address
 * check of the cell.
 */
SEC("cgroup_skb/egress")
int on_packet(struct __sk_buff *packet)
{
	const struct wall_reach *cell = bpf_get_local_storage(&reach, 0);
	struct attempt made = {.hook = WALL_PACKET};
	__u8 protocol = 0;
	long missing;

	if (packet->protocol == bpf_htons(0x0800)) {
		made.family = AF_INET;
		missing = bpf_skb_load_bytes(packet, 9, &protocol, 1);
		missing |= bpf_skb_load_bytes(packet, 16, &made.address[0], 4);
	} else {
		made.family = AF_INET6;
		missing = bpf_skb_load_bytes(packet, 6, &protocol, 1);
		missing |= bpf_skb_load_bytes(packet, 24, made.address, 16);
	}
	made.protocol = protocol;
	if (!missing && is_control(&made))
		return PASS;
	if (!cell->netns)
		return refuse_for(cell, &made, WALL_NOT_OPEN, 0);
	if (missing || (!is_own(&made) && !in_range(cell, &made)))
		return refuse_for(cell, &made, WALL_ADDRESS, 0);
	return PASS;
}

const char wall_license[] SEC("license") = "Apache-2.0";
