// SPDX-License-Identifier: Apache-2.0
#include "launcher/run/changes.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace cellrun::launcher {
namespace {

namespace fs = std::filesystem;

TEST(ChangesTest, ListsWhatWasCreatedChangedAndDeleted) {
  char directory[] = "/tmp/cellrun-changes-test-XXXXXX";
  ASSERT_NE(mkdtemp(&directory[0]), nullptr);
  const fs::path root = &directory[0];
  fs::create_directories(root / "kept/inner");
  for (const char* name : {"same", "changed", "gone", "mode", "kept/inner/replaced"})
    std::ofstream(root / name) << "1";
  fs::create_symlink("/etc", root / "link");
  const std::optional<Snapshot> before = TakeSnapshot(root);
  ASSERT_TRUE(before);
  std::ofstream(root / "changed") << "2";
  fs::remove(root / "gone");
  fs::permissions(root / "mode", fs::perms(0755));
  fs::rename(root / "same", root / "same");
  std::ofstream(root / "other") << "1";
  fs::rename(root / "other", root / "kept/inner/replaced");
  fs::create_directories(root / ".git/hooks");
  std::ofstream(root / ".git/hooks/post-commit") << "#!/bin/sh\n";
  const std::optional<Snapshot> after = TakeSnapshot(root);
  ASSERT_TRUE(after);
  std::string listed;
  for (const Change& change : CompareSnapshots(*before, *after)) {
    listed += change.kind + " " + change.path + (change.self_executing ? " !" : "") + "\n";
  }
  EXPECT_EQ(listed,
            "created .git\ncreated .git/hooks\ncreated .git/hooks/post-commit !\nchanged "
            "changed\ndeleted gone\n"
            "changed kept/inner/replaced\nchanged mode\n");
  fs::remove_all(root);
}

TEST(ChangesTest, KnowsFilesThatRunByThemselves) {
  for (const char* path : {".git/hooks/pre-commit", ".envrc", "a/.envrc", ".vscode/tasks.json",
                           "package.json", ".husky/pre-push", ".git/config", "sub/.git/config",
                           "Makefile", ".github/workflows/ci.yml"}) {
    EXPECT_TRUE(IsSelfExecuting(path)) << path;
  }
  for (const char* path :
       {"main.c", "envrc", "src/package.json.md", ".git/index", ".git/objects/ab/cd", "git/hooks/x",
        ".git/hooks/pre-commit.cellrun-quarantined"}) {
    EXPECT_FALSE(IsSelfExecuting(path)) << path;
  }
}

}  // namespace
}  // namespace cellrun::launcher
