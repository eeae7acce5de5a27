// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace cellrun::policy {

// The identity of a file: st_dev and st_ino. A bind mount keeps both.
struct FileId {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  bool operator==(const FileId&) const = default;
};

// One program that an execve would run: the file itself, or an interpreter of its #! chain, or the
// payload of a dynamic loader.
struct ExecImage {
  enum class Kind : std::uint8_t { kBinary, kScript };
  std::string
      path;  // canonical, as seen in the cell; for anonymous images what /proc/PID/exe would show
  FileId id;
  Kind kind = Kind::kBinary;
  bool writable = false;   // the cell could have written it (owner, mode and mount allow it)
  bool anonymous = false;  // memfd, deleted, or from outside the cell's tree
  std::string hash;        // 64 hex digits where a rule needs it (Policy::NeedsHash), else ""
  // What this one is given, where that is not the request's argv: an interpreter gets its own name,
  // what the
  // #! line says, the script's path, and then the rest. Empty: the request's.
  std::vector<std::string> argv = {};
};

// Everything a decision may depend on. No pointers into a cell, no descriptors: plain data, read
// once.
struct ExecRequest {
  std::string raw_path;  // as the program wrote it
  std::vector<ExecImage>
      images;  // [0] is the file named, then its interpreters, outermost last; never empty
  std::vector<std::string> argv;
  std::vector<std::string> env;  // "NAME=value"
  std::string cwd;
  std::string parent;  // canonical path of the calling program
  std::uint32_t uid = 0;
  std::string user;
  bool tty = false;         // whether descriptor 0 is a terminal
  bool answers = true;      // whether remembered rules that allow count
  bool check_only = false;  // execveat with AT_EXECVE_CHECK: judged, never executed
};

}  // namespace cellrun::policy
