// SPDX-License-Identifier: Apache-2.0
#include "lib/sys/bpf_interpreter.h"

#include <cstring>
#include <utility>

#include "lib/base/check.h"

namespace cellrun::sys {
namespace {

std::uint32_t LoadWord(const seccomp_data& data, std::uint32_t offset) {
  CHECK(offset % sizeof(std::uint32_t) == 0);
  CHECK(offset + sizeof(std::uint32_t) <= sizeof data);
  std::uint32_t word = 0;
  std::memcpy(&word, reinterpret_cast<const char*>(&data) + offset, sizeof word);
  return word;
}

bool Compare(std::uint16_t code, std::uint32_t accumulator, std::uint32_t value) {
  switch (code) {
    case BPF_JMP | BPF_JEQ | BPF_K:
      return accumulator == value;
    case BPF_JMP | BPF_JGE | BPF_K:
      return accumulator >= value;
    default:
      CHECK(false);
  }
}

}  // namespace

BpfInterpreter::BpfInterpreter(std::vector<sock_filter> program)
    : program_(std::move(program)), reached_(program_.size()) {}

std::uint32_t BpfInterpreter::Run(const seccomp_data& data) {
  std::uint32_t accumulator = 0;
  for (std::size_t at = 0; at < program_.size();) {
    const sock_filter& instruction = program_[at];
    Reached& reached = reached_[at];
    reached.run = true;
    at++;
    switch (instruction.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        accumulator = LoadWord(data, instruction.k);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        accumulator &= instruction.k;
        break;
      case BPF_RET | BPF_K:
        return instruction.k;
      default: {
        const bool holds = Compare(instruction.code, accumulator, instruction.k);
        (holds ? reached.jumped_if_true : reached.jumped_if_false) = true;
        at += holds ? instruction.jt : instruction.jf;
      }
    }
  }
  CHECK(false);  // ran off its end
}

std::vector<std::string> BpfInterpreter::Unreached() const {
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < program_.size(); i++) {
    const std::string name =
        "instruction " + std::to_string(i) + ", value " + std::to_string(program_[i].k);
    const bool is_jump = BPF_CLASS(program_[i].code) == BPF_JMP;
    if (!reached_[i].run) lines.push_back(name + ": never run");
    if (is_jump && !reached_[i].jumped_if_true) lines.push_back(name + ": never true");
    if (is_jump && !reached_[i].jumped_if_false) lines.push_back(name + ": never false");
  }
  return lines;
}

}  // namespace cellrun::sys
