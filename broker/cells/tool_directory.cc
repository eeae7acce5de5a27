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

Error Problem(const std::error_code& code, const std::string& path) {
  return Error(code.value(), "", "tools: " + path);
}

}  // namespace

Result<ToolDirectory> ToolDirectory::Make(const std::string& cell_id,
                                          const std::vector<policy::Tool>& tools) {
  ToolDirectory directory;
  directory.path_ = TRY(Base()) + "/" + cell_id;
  std::error_code code;
  fs::create_directories(directory.path_, code);
  if (!code) fs::permissions(directory.path_, fs::perms(0755), code);
  if (code) return Problem(code, directory.path_);
  for (const policy::Tool& tool : tools) TRY(directory.Add(tool.name));
  return directory;
}

bool ToolDirectory::Has(const std::string& name) const {
  std::error_code code;
  return !path_.empty() && fs::exists(fs::path(path_) / name, code);
}

Result<void> ToolDirectory::Add(const std::string& name) const {
  if (path_.empty()) return Error(EINVAL, "", "this cell has no tools");
  const fs::path entry = fs::path(path_) / name;
  std::error_code code;
  fs::copy_file(TRY(wire::LibexecPath("cellrun-shim")), entry, code);
  if (!code) fs::permissions(entry, fs::perms(0555), code);
  if (code) return Problem(code, entry.string());
  return {};
}

Result<void> ToolDirectory::Remove(const std::string& name) const {
  std::error_code code;
  if (!path_.empty()) fs::remove(fs::path(path_) / name, code);
  if (code) return Problem(code, name);
  return {};
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
  std::error_code code;
  if (path_.empty()) return;
  fs::remove(path_, code);  // most cells have no tools: one call instead of five
  if (code) fs::remove_all(path_, code);
}

}  // namespace cellrun::cells
