// SPDX-License-Identifier: Apache-2.0
#include "broker/net/wall/programs.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <array>
#include <cstdarg>

#include "egress_wall.skel.h"
#include "lib/sys/file.h"

namespace cellrun::net {
namespace {

// What went wrong is in return values; the rest is for who writes programs.
int Silent(libbpf_print_level /*level*/, const char* /*format*/, va_list /*arguments*/) {
  return 0;
}

Result<egress_wall*> LoadSkeleton(bool pid_is_known) {
  egress_wall* skeleton = egress_wall__open();
  if (skeleton == nullptr) return ErrnoError("bpf");
  skeleton->rodata->pid_is_known = pid_is_known ? 1 : 0;
  const int loaded = egress_wall__load(skeleton);
  if (loaded == 0) return skeleton;
  egress_wall__destroy(skeleton);
  return Error(-loaded, "bpf(BPF_PROG_LOAD)");
}

int OnRefusal(void* each, void* data, std::size_t bytes) {
  if (bytes < sizeof(wall_refusal)) return 0;
  (*static_cast<const std::function<void(const wall_refusal&)>*>(each))(
      *static_cast<const wall_refusal*>(data));
  return 0;
}

}  // namespace

struct Programs::State {
  egress_wall* skeleton = nullptr;
  ring_buffer* ring = nullptr;
  // Whom the ring's callback tells; its context cannot be changed later.
  std::function<void(const wall_refusal&)> each;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    ring_buffer__free(ring);
    egress_wall__destroy(skeleton);
  }
};

Programs::Programs() : state_(std::make_unique<State>()) {}
Programs::~Programs() = default;

Result<std::unique_ptr<Programs>> Programs::Load() {
  (void)libbpf_set_print(Silent);
  std::unique_ptr<Programs> made(new Programs());
  State& state = *made->state_;
  Result<egress_wall*> loaded = LoadSkeleton(true);
  // Before Linux 6.10 such a program may not ask for a pid.
  if (!loaded.ok() && loaded.error().code() == EINVAL) loaded = LoadSkeleton(false);
  state.skeleton = TRY(std::move(loaded));
  state.ring =
      ring_buffer__new(bpf_map__fd(state.skeleton->maps.refusals), OnRefusal, &state.each, nullptr);
  if (state.ring == nullptr) return ErrnoError("ring_buffer__new");
  const int number = fcntl(ring_buffer__epoll_fd(state.ring), F_DUPFD_CLOEXEC, 3);
  if (number < 0) return ErrnoError("fcntl(F_DUPFD_CLOEXEC)");
  made->refusals_ = UniqueFd(number);
  return made;
}

Result<std::vector<Programs::Hook>> Programs::Attach(const UniqueFd& cgroup) const {
  const auto& programs = state_->skeleton->progs;
  struct Entry {
    const char* name;
    const bpf_program* program;
  };
  const std::array entries = {
      Entry{"sock_create", programs.on_create}, Entry{"bind4", programs.on_bind4},
      Entry{"bind6", programs.on_bind6},        Entry{"connect4", programs.on_connect4},
      Entry{"connect6", programs.on_connect6},  Entry{"sendmsg4", programs.on_send4},
      Entry{"sendmsg6", programs.on_send6},     Entry{"egress", programs.on_packet}};
  std::vector<Hook> hooks;
  for (const Entry& entry : entries) {
    const int program = bpf_program__fd(entry.program);
    const int link = bpf_link_create(program, cgroup.get(),
                                     bpf_program__expected_attach_type(entry.program), nullptr);
    if (link < 0) return Error(-link, "bpf(BPF_LINK_CREATE)", entry.name);
    Hook& hook = hooks.emplace_back(Hook{.name = entry.name, .link = UniqueFd(link)});
    bpf_link_info info{};
    std::uint32_t bytes = sizeof info;
    const int seen = bpf_obj_get_info_by_fd(link, &info, &bytes);
    if (seen != 0) return Error(-seen, "bpf(BPF_OBJ_GET_INFO_BY_FD)", entry.name);
    hook.program = info.prog_id;
  }
  return hooks;
}

std::string Programs::LossOf(const Hook& hook, std::uint64_t cgroup_id) {
  bpf_link_info info{};
  std::uint32_t bytes = sizeof info;
  const std::string name = hook.name;
  if (bpf_obj_get_info_by_fd(hook.link.get(), &info, &bytes) != 0)
    return name + " cannot be looked at";
  // 0 for a link that was detached by force, or whose cgroup is gone.
  if (info.cgroup.cgroup_id != cgroup_id) return name + " was detached";
  if (info.prog_id != hook.program) return name + " runs another program";
  return "";
}

Result<void> Programs::SetReach(std::uint64_t cgroup_id, const wall_reach& reach) const {
  const int map = bpf_map__fd(state_->skeleton->maps.reach);
  const int set = bpf_map_update_elem(map, &cgroup_id, &reach, BPF_EXIST);
  if (set != 0) return Error(-set, "bpf(BPF_MAP_UPDATE_ELEM)");
  return {};
}

Result<Programs::Tally> Programs::TallyOf(std::uint64_t cgroup_id) const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 0) return Error(-cpus, "libbpf_num_possible_cpus");
  std::vector<wall_tally> each(static_cast<std::size_t>(cpus));
  const int map = bpf_map__fd(state_->skeleton->maps.tally);
  const int got = bpf_map_lookup_elem(map, &cgroup_id, each.data());
  if (got != 0) return Error(-got, "bpf(BPF_MAP_LOOKUP_ELEM)");
  Tally sum;
  for (const wall_tally& one : each) {
    sum.refused += one.refused;
    sum.unrecorded += one.unrecorded;
  }
  return sum;
}

void Programs::TakeRefusals(const std::function<void(const wall_refusal&)>& each) const {
  state_->each = each;
  (void)ring_buffer__consume(state_->ring);  // its only error would be OnRefusal's
  state_->each = nullptr;
}

}  // namespace cellrun::net
