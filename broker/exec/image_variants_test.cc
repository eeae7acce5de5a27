// SPDX-License-Identifier: Apache-2.0
// Every way to name or wrap a program that is known: what is judged is what runs.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>

#include "broker/exec/judged_cell.h"
#include "broker/exec/shebang.h"
#include "lib/sys/uapi.h"

namespace cellrun::exec {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::SizeIs;
using testing::StartsWith;

constexpr const char* kLoader = "/lib64/ld-linux-x86-64.so.2";

int ExecveAt(int directory, const char* path, std::vector<std::string> argv, int flags) {
  std::vector<char*> pointers;
  for (std::string& text : argv) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  syscall(SYS_execveat, directory, path, pointers.data(), environ, flags);
  return -errno;
}

void Link(const char* target, const char* path) {
  CHECK(symlink(target, path) == 0);
}

class ImageVariantsTest : public testing::Test {
 protected:
  // The request of the last exec that was judged.
  policy::ExecRequest LastRequest() {
    const auto requests = cell_.policy->requests();
    if (requests.empty()) {
      ADD_FAILURE() << "nothing was judged: " << cell_.output;
      return {};
    }
    return requests.back();
  }
  JudgedCell cell_;
};

TEST_F(ImageVariantsTest, EverySpellingOfAPathIsTheSameImage) {
  cell_.decide = DenyNamed("/usr/bin/true", EPERM);
  const int failed = cell_.Run([] {
    Link("/usr/bin/true", "link");
    Link("link", "second");
    Link("/usr/bin", "bin");
    int wrong = 0;
    for (const char* path :
         {"/usr/bin/true", "/bin/true", "//usr//./bin/true", "/usr/../usr/bin/true", "./link",
          "second", "bin/true", "bin/../bin/true", "/proc/self/root/usr/bin/true",
          "/proc/thread-self/root/usr/bin/true", "/proc/self/cwd/link", "/proc/1/cwd/bin/true",
          "/proc/self/cwd/../../usr/bin/true", "../../usr/bin/true", "/dev/../bin/true",
          "/usr/bin/../../bin/true"}) {
      if (ExecErrno({"true"}, path) != EPERM) {
        dprintf(2, "%s\n", path);
        ++wrong;
      }
    }
    return wrong;
  });
  EXPECT_EQ(failed, 0) << cell_.output;
  for (const policy::ExecRequest& request : cell_.policy->requests()) {
    EXPECT_EQ(request.images[0].path, "/usr/bin/true") << request.raw_path;
    EXPECT_FALSE(request.images[0].anonymous) << request.raw_path;
    EXPECT_FALSE(request.images[0].writable) << request.raw_path;
  }
}

TEST_F(ImageVariantsTest, ReadOnlyMemoryFilesHaveOneNameTooHoweverTheyAreSpelt) {
  EXPECT_EQ(cell_.Run([] {
    std::array<char, 4096> directory{};
    if (getcwd(directory.data(), directory.size()) == nullptr) return 100;
    const std::string here = directory.data();
    Link("kept/true", "link");
    int wrong = 0;
    for (const std::string& path :
         {here + "/kept/true", here + "//kept/./true", here + "/link", std::string("kept/true")}) {
      wrong += Spawn({path}) == 0 ? 0 : 1;
    }
    return wrong;
  }),
            0)
      << cell_.output;
  const auto requests = cell_.policy->requests();
  ASSERT_THAT(requests, SizeIs(4));
  for (const policy::ExecRequest& request : requests) {
    EXPECT_EQ(request.images[0].path, requests[0].cwd + "/kept/true") << request.raw_path;
    EXPECT_FALSE(request.images[0].writable) << request.raw_path;
    EXPECT_FALSE(request.images[0].anonymous) << request.raw_path;
  }
}

TEST_F(ImageVariantsTest, LookupErrorsAreTheKernelsOwn) {
  EXPECT_EQ(cell_.Run([] {
    Link("loop", "loop");
    WriteScript("plain", "x");
    chmod("plain", 0644);
    mkdir("directory", 0755);
    mkfifo("fifo", 0777);
    const std::string long_name(300, 'x'), long_path(5000, '/');
    struct Case {
      std::string path;
      int error;
    };
    int wrong = 0;
    for (const Case& one :
         {Case{"", ENOENT}, Case{"loop", ELOOP}, Case{"plain", EACCES}, Case{"directory", EACCES},
          Case{"fifo", EACCES}, Case{"/dev/null", EACCES}, Case{"plain/x", ENOTDIR},
          Case{"/usr/bin/true/", ENOTDIR}, Case{"no/such", ENOENT}, Case{"/proc/self/none", ENOENT},
          Case{"/proc/self/fd/77", ENOENT}, Case{long_name, ENAMETOOLONG},
          Case{long_path, ENAMETOOLONG}, Case{"/bin/none", ENOENT}}) {
      const int error = InChild([&] { return ExecveAt(AT_FDCWD, one.path.c_str(), {"x"}, 0); });
      if (error != -one.error) {
        dprintf(2, "%.40s: %d instead of %d\n", one.path.c_str(), -error, one.error);
        ++wrong;
      }
    }
    return wrong;
  }),
            0)
      << cell_.output;
}

TEST_F(ImageVariantsTest, RelativePathsFollowTheWorkingDirectory) {
  EXPECT_EQ(cell_.Run([] {
    mkdir("a", 0755);
    CopyFile("/usr/bin/true", "a/tool");
    if (Spawn({"tool"}, "a/tool") != 0) return 1;
    if (chdir("a") != 0) return 2;
    if (Spawn({"./tool"}) != 0) return 3;
    if (Spawn({"../a/tool"}) != 0) return 4;
    return chdir("/") == 0 ? Spawn({"usr/bin/true"}) : 5;
  }),
            0)
      << cell_.output;
  EXPECT_EQ(LastRequest().cwd, "/");
  EXPECT_EQ(LastRequest().images[0].path, "/usr/bin/true");
  const policy::ExecRequest first = cell_.policy->requests()[0];
  EXPECT_THAT(first.images[0].path, EndsWith("/a/tool"));
  EXPECT_TRUE(first.images[0].writable);
  EXPECT_FALSE(first.images[0].anonymous);
}

TEST_F(ImageVariantsTest, AScriptIsJudgedWithItsInterpreter) {
  EXPECT_EQ(cell_.Run([] {
    WriteScript("script", "#! /bin/sh  -e  \nexit $(($1 + 1))\n");
    return Spawn({"name", "4"}, "./script");
  }),
            5)
      << cell_.output;
  const policy::ExecRequest request = LastRequest();
  ASSERT_THAT(request.images, SizeIs(2));
  EXPECT_THAT(request.images[0].path, EndsWith("/script"));
  EXPECT_EQ(request.images[0].kind, policy::ExecImage::Kind::kScript);
  EXPECT_EQ(request.images[1].path, "/usr/bin/dash");
  EXPECT_EQ(request.images[1].kind, policy::ExecImage::Kind::kBinary);
  EXPECT_THAT(request.argv, ElementsAre("name", "4"));
  EXPECT_EQ(cell_.journal.Last("./script").result, "ran");
}

TEST_F(ImageVariantsTest, NestedScriptsEndWhereTheKernelsDo) {
  EXPECT_EQ(cell_.Run([] {
    std::string interpreter = "/bin/sh";
    for (int i = 0; i <= kMaxInterpreters; ++i) {
      const std::string name = "s" + std::to_string(i);
      WriteScript(name.c_str(), "#!" + interpreter + " -x" + "\nexit 3\n");
      interpreter = "./" + name;
    }
    if (Spawn({"s4"}, "./s4") == 126) return 1;  // five interpreters: as far as it goes
    return ExecErrno({"s5"}, "./s5") == ELOOP ? 0 : 2;
  }),
            0)
      << cell_.output;
  EXPECT_THAT(LastRequest().images, SizeIs(6));
  EXPECT_EQ(cell_.counters.mismatches, 0U);
}

TEST_F(ImageVariantsTest, AMissingInterpreterIsMissing) {
  EXPECT_EQ(cell_.Run([] {
    WriteScript("script", "#!/no/such/interpreter\n");
    return ExecErrno({"x"}, "./script");
  }),
            ENOENT);
}

TEST_F(ImageVariantsTest, AFileWithoutAFormatFailsAsTheKernelSays) {
  EXPECT_EQ(cell_.Run([] {
    WriteScript("text", "exit 9\n");
    return ExecErrno({"x"}, "./text");
  }),
            ENOEXEC);
  // The errno is only seen if it is still in the register when the task is stopped.
  EXPECT_THAT(cell_.journal.Last("./text").result, StartsWith("failed"));
}

TEST_F(ImageVariantsTest, ALoaderIsJudgedByItsPayload) {
  EXPECT_EQ(cell_.Run([] {
    return Spawn({kLoader, "--argv0", "other", "--library-path", "/lib", "/bin/echo", "hello"});
  }),
            0)
      << cell_.output;
  const policy::ExecRequest request = LastRequest();
  ASSERT_THAT(request.images, SizeIs(2));
  EXPECT_EQ(request.images[0].path, "/usr/bin/echo");
  EXPECT_THAT(request.images[1].path, HasSubstr("ld-linux"));
  EXPECT_THAT(request.argv, ElementsAre("other", "hello"));
  EXPECT_EQ(cell_.output, "hello\n");
}

TEST_F(ImageVariantsTest, ACopiedLoaderIsStillALoader) {
  cell_.decide = DenyNamed("/true", EPERM);
  EXPECT_EQ(cell_.Run([] {
    CopyFile(kLoader, "innocent");
    return ExecErrno({"innocent", "/usr/bin/true"}, "./innocent");
  }),
            EPERM)
      << cell_.output;
  EXPECT_THAT(LastRequest().images, SizeIs(2));
}

TEST_F(ImageVariantsTest, AScriptMayNotHideALoader) {
  cell_.decide = DenyNamed("/evil", EPERM);
  EXPECT_EQ(cell_.Run([] {
    CopyFile("/usr/bin/true", "evil");
    WriteScript("script", std::string("#!") + kLoader + " ./evil\n");
    return ExecErrno({"x"}, "./script");
  }),
            EPERM)
      << cell_.output;
}

TEST_F(ImageVariantsTest, ALoaderThatLoadsMoreIsRefused) {
  EXPECT_EQ(cell_.Run([] {
    return Spawn({kLoader, "--preload", "/tmp/evil.so", "/bin/true"});
  }),
            126);
  EXPECT_THAT(cell_.output, HasSubstr("--preload"));
}

// A script is opened again by the name it was called by: a link that the cell can change makes it
// as good as written by the cell.
TEST_F(ImageVariantsTest, AScriptByANameThatCanChangeIsWritable) {
  EXPECT_EQ(cell_.Run([] {
    Link("/usr/bin/ldd", "link");
    if (Spawn({"ldd", "--version"}, "/usr/bin/ldd") != 0) return 1;
    return Spawn({"ldd", "--version"}, "./link");
  }),
            0)
      << cell_.output;
  ASSERT_THAT(cell_.policy->requests(), SizeIs(2));
  EXPECT_FALSE(cell_.policy->requests()[0].images[0].writable);
  EXPECT_TRUE(cell_.policy->requests()[1].images[0].writable);
  EXPECT_EQ(cell_.policy->requests()[1].images[0].path, "/usr/bin/ldd");
}

// Its hash is what the policy saw, but it may be another file when the interpreter opens it: no
// verdict may be more lenient because of that hash.
TEST_F(ImageVariantsTest, TheHashOfAWritableScriptAllowsNothing) {
  cell_.wants_hash = true;
  cell_.decide = [](const policy::ExecRequest& request) {
    return request.images[0].hash.empty() ? Deny(EPERM) : Allow();
  };
  EXPECT_EQ(cell_.Run([] {
    WriteScript("script", "#!/bin/sh\n");
    if (Spawn({"/usr/bin/true"}) != 0) return 1;
    return ExecErrno({"script"}, "./script");
  }),
            EPERM)
      << cell_.output;
}

TEST_F(ImageVariantsTest, AnImageThatTheCellCannotReadIsRefused) {
  EXPECT_EQ(cell_.Run([] {
    CopyFile("/usr/bin/true", "secret");
    chmod("secret", 0111);
    return ExecErrno({"x"}, "./secret");
  }),
            EACCES);
}

TEST_F(ImageVariantsTest, AnEmptyArgumentListIsOneEmptyArgument) {
  EXPECT_EQ(cell_.Run([] {
    return InChild([] {
      std::array<char*, 1> none{};
      syscall(SYS_execve, "/usr/bin/true", none.data(), nullptr);
      return -errno;
    });
  }),
            0)
      << cell_.output;
  EXPECT_THAT(LastRequest().argv, ElementsAre(""));
  EXPECT_EQ(cell_.counters.mismatches, 0U);
}

TEST_F(ImageVariantsTest, UnreadableMemoryIsAnErrorAndRecorded) {
  EXPECT_EQ(cell_.Run([] {
    const auto exec = [](const char* path, void* argv) {
      return InChild([&] {
        syscall(SYS_execve, path, argv, nullptr);
        return -errno;
      });
    };
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a bad pointer on purpose
    if (exec(reinterpret_cast<const char*>(16), nullptr) != -EFAULT) return 1;
    // NOLINTNEXTLINE(performance-no-int-to-ptr)
    return exec("/usr/bin/true", reinterpret_cast<void*>(16)) == -EFAULT ? 0 : 2;
  }),
            0)
      << cell_.output;
  EXPECT_EQ(cell_.journal.CountResult("denied"), 2U);
}

TEST_F(ImageVariantsTest, TooMuchIsTooMuch) {
  EXPECT_EQ(cell_.Run([] {
    if (ExecErrno({"x", std::string(200 * 1024, 'a')}, "/usr/bin/true") != E2BIG) return 1;
    const std::vector<std::string> many(30, std::string(100 * 1024, 'a'));
    return ExecErrno(many, "/usr/bin/true") == E2BIG ? 0 : 2;
  }),
            0)
      << cell_.output;
}

TEST_F(ImageVariantsTest, BigArgumentListsAreVerified) {
  EXPECT_EQ(cell_.Run([] {
    const std::vector<std::string> many(15, std::string(100 * 1024, 'a'));
    if (Spawn(many, "/usr/bin/true") != 0) return 1;
    return Spawn(std::vector<std::string>(50000, "xy"), "/usr/bin/true");
  }),
            0)
      << cell_.output;
  EXPECT_EQ(cell_.journal.CountResult("ran"), 2U);
}

TEST_F(ImageVariantsTest, AWritableImageMatchedByHashIsHashedAgain) {
  cell_.wants_hash = true;
  EXPECT_EQ(cell_.Run([] {
    CopyFile("/usr/bin/true", "tool");
    return Spawn({"./tool"});
  }),
            0)
      << cell_.output;
  EXPECT_THAT(LastRequest().images[0].hash, SizeIs(64));
  EXPECT_EQ(cell_.journal.Last("./tool").image_hash, LastRequest().images[0].hash);
}

}  // namespace
}  // namespace cellrun::exec
