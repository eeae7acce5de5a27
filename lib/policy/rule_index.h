// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lib/policy/program_set.h"
#include "lib/policy/request.h"

namespace cellrun::policy {

// Finds the rules that can match an image without trying all of them: rules that name files only
// are behind a hash of the file's identity and of its path, the others are in a list.
class RuleIndex {
 public:
  // Rules are added in ascending order. `programs` null: can match any image.
  void Add(std::uint32_t rule, const ProgramSet* programs);

  // The candidates for an image, ascending, each once. Valid as long as the index.
  class Candidates {
   public:
    Candidates(const RuleIndex& index, const ExecImage& image);
    std::optional<std::uint32_t> Next();

   private:
    std::array<std::span<const std::uint32_t>, 3> lists_;
  };

 private:
  struct IdHash {
    std::size_t operator()(const FileId& id) const {
      // Inode numbers are dense: spread them.
      return static_cast<std::size_t>((id.inode ^ (id.device << 32)) * 0x9e3779b97f4a7c15ULL);
    }
  };
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const {
      return std::hash<std::string_view>()(text);
    }
  };

  std::unordered_map<FileId, std::vector<std::uint32_t>, IdHash> by_id_;
  std::unordered_map<std::string, std::vector<std::uint32_t>, TextHash, std::equal_to<>> by_path_;
  std::vector<std::uint32_t> general_;
};

}  // namespace cellrun::policy
