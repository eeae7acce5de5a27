// SPDX-License-Identifier: Apache-2.0
#include "broker/cells/tool_directory.h"

#include <filesystem>
#include <utility>

#include "lib/wire/runtime_directory.h"

namespace cellrun::cells {
namespace {

namespace fs = std::filesystem;

Result<std::string> Base() {
  return TRY(wire::RuntimeDirectory()) + "/tools";
}

}  // namespace

Result<ToolDirectory> ToolDirectory::Make(const std::string& cell_id,
                                          const std::vector<policy::Tool>& tools) {
  ToolDirectory directory;
  if (tools.empty()) return directory;
  const std::string shim = TRY(wire::LibexecPath("cellrun-shim"));
  directory.path_ = TRY(Base()) + "/" + cell_id;
  std::error_code code;
  fs::create_directories(directory.path_, code);
  for (const policy::Tool& tool : tools) {
    const fs::path entry = fs::path(directory.path_) / tool.name;
    if (!code) fs::copy_file(shim, entry, code);
    if (!code) fs::permissions(entry, fs::perms(0555), code);
  }
  if (!code) fs::permissions(directory.path_, fs::perms(0755), code);
  if (code) return Error(code.value(), "", "tools: " + directory.path_);
  return directory;
}

void ToolDirectory::RemoveOld() {
  const Result<std::string> base = Base();
  std::error_code ignored;  // what stays is in nobody's way
  if (base.ok()) fs::remove_all(*base, ignored);
}

ToolDirectory::ToolDirectory(ToolDirectory&& other) noexcept
    : path_(std::exchange(other.path_, {})) {}
ToolDirectory& ToolDirectory::operator=(ToolDirectory&& other) noexcept {
  std::swap(path_, other.path_);
  return *this;
}
ToolDirectory::~ToolDirectory() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
}

}  // namespace cellrun::cells
