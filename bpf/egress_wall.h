/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs of egress_wall.bpf.c and the broker tell each other. Addresses and ports as on
 * the wire. */
#pragma once

#include <linux/types.h>

#define WALL_RANGES 16		   /* of each family */
#define WALL_RECORDS_PER_SECOND 32 /* of one cell, for each CPU; what is more is only counted */

/* A range of addresses: those that equal `address` where `mask` has a bit. */
struct wall_range4 {
	__u32 address, mask;
};
struct wall_range6 {
	__u32 address[4], mask[4];
};

/*
 * What the processes of one cgroup may reach, beside their own loopback. The value of the cgroup's
 * storage: it is replaced as a whole, so a program that runs sees the old one or the new one. All
 * zero, as the kernel makes it, lets nothing pass.
 */
struct wall_reach {
	__u64 cgroup; /* its id, for the records */
	__u64 netns;  /* cookie of the cell's network namespace; 0: not yet, all is refused */
	__u64 gateway_netns; /* cookie of its gateway's; 0: it has none */
	__u64 host_netns;    /* cookie of the broker's, where nothing of a cell has any business */
	__u32 building;	     /* no netns yet: sockets may be made, and no more */
	__u32 nested; /* the cell may make namespaces of its own: there, it has their loopback */
	__u32 ranges4, ranges6; /* how many of the following count */
	struct wall_range4 range4[WALL_RANGES];
	struct wall_range6 range6[WALL_RANGES];
};

enum wall_hook {
	WALL_CREATE,
	WALL_BIND,
	WALL_CONNECT,
	WALL_SEND,
	WALL_PACKET,
};

enum wall_reason {
	WALL_NOT_OPEN,	/* nothing is let through yet */
	WALL_NAMESPACE, /* a socket of another network namespace */
	WALL_KIND,	/* neither TCP nor UDP */
	WALL_ADDRESS,	/* outside of the ranges */
};

/* One refusal, in the ring buffer. */
struct wall_refusal {
	__u64 cgroup;
	__u32 pid, uid; /* 0 where they are not known */
	__u32 hook, reason;
	__u32 family, type, protocol;
	__u32 address[4];
	__u32 port;
	char comm[16];
};

/* A cell's counters, one copy for each CPU. */
struct wall_tally {
	__u64 refused;	  /* all */
	__u64 unrecorded; /* those of them that are in no record */
	__u64 second;	  /* of the records in `recorded` */
	__u64 recorded;
};
