// SPDX-License-Identifier: Apache-2.0
#include "lib/groups/host_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "lib/groups/files.h"

namespace cellrun::groups {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class HostGroupsTest : public testing::Test {
 protected:
  HostGroupsTest() {
    std::string name = testing::TempDir() + "groups.XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~HostGroupsTest() override { std::filesystem::remove_all(root_); }
  void Put(const std::string& path, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::vector<std::string> Members(const std::string& group) {
    auto groups = ReadHostGroups(Host{.home = root_ + "/home/u", .root = root_}, std::set{group});
    return groups[group];
  }
  std::string root_;
};

TEST_F(HostGroupsTest, NothingConfiguredIsNothing) {
  for (const char* group : {"apt", "npm", "pip", "cargo", "go"}) {
    EXPECT_THAT(Members(group), IsEmpty()) << group;
  }
  EXPECT_THAT(ReadHostGroups(Host{.home = "", .root = root_}, std::set<std::string>{"npm"}),
              IsEmpty());
}

TEST_F(HostGroupsTest, AptHasItsSourcesInBothForms) {
  Put("/etc/apt/sources.list",
      "# deb http://old.example.com/ a b\n"
      "deb [signed-by=/x arch=amd64] https://one.example.com/debian bookworm main\n"
      "deb-src http://two.example.com:8080/debian bookworm main\n"
      "deb cdrom:[disk]/ bookworm main\ndeb file:///srv/debian ./\n");
  Put("/etc/apt/sources.list.d/more.sources",
      "Types: deb\nURIs: https://three.example.com/a\n https://one.example.com/b\nSuites: x\n"
      "#URIs: https://old.example.com/\n");
  Put("/etc/apt/sources.list.d/off.list.disabled", "deb https://off.example.com/ a b\n");
  EXPECT_THAT(Members("apt"),
              ElementsAre("one.example.com:443", "two.example.com:8080", "three.example.com:443"));
}

TEST_F(HostGroupsTest, AptHasOnlyWhatIsSwitchedOn) {
  Put("/etc/apt/sources.list",
      "deb https://one.example.com/debian bookworm main # was https://old.example.com/\n");
  Put("/etc/apt/sources.list.d/more.sources",
      "Types: deb\nURIs: https://off.example.com/\nSuites: x\nEnabled: No\n\n"
      "# https://old.example.com/\nEnabled: yes\nX-Note: https://note.example.com/\nuris:\n"
      "# https://old.example.com/\n https://two.example.com/\n\thttps://three.example.com/\n"
      "Snapshot: https://snapshot.example.com/\n https://snapshot.example.com/2\n");
  EXPECT_THAT(Members("apt"),
              ElementsAre("one.example.com:443", "two.example.com:443", "three.example.com:443"));
}

// As images for the cloud have it.
TEST_F(HostGroupsTest, AptHasTheMirrorsThatAFileLists) {
  Put("/etc/apt/sources.list.d/debian.sources",
      "Types: deb deb-src\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\n");
  Put("/etc/apt/sources.list", "deb mirror+file:/etc/apt/mirrors/other.list bookworm main\n");
  Put("/etc/apt/mirrors/debian.list",
      "# https://old.example.com\nhttps://one.example.com/debian\n");
  Put("/etc/apt/mirrors/other.list", "http://two.example.com/debian\tpriority:1 type:deb\n");
  EXPECT_THAT(Members("apt"), ElementsAre("two.example.com:80", "one.example.com:443"));
}

TEST_F(HostGroupsTest, NpmHasTheUsersAndTheSystemsRegistries) {
  Put("/etc/npmrc", "registry = \"https://npm.example.com/\"\n");
  Put("/home/u/.npmrc",
      "; registry=https://old.example.com\n@ours:registry=https://ours.example.com:8443/npm/\n"
      "//npm.example.com/:_authToken=secret\n");
  EXPECT_THAT(Members("npm"), ElementsAre("npm.example.com:443", "ours.example.com:8443"));
}

TEST_F(HostGroupsTest, NpmWithoutConfigurationHasItsOwn) {
  const std::string path =
      "/usr/lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions/definitions.js";
  Put(path,
      "define('prefix', {\n  default: 'https://not.example.com/',\n})\n"
      "define('registry', {\n  default: 'https://built-in.example.com/',\n  type: url,\n})\n"
      "define('x', {\n  default: 'https://neither.example.com/',\n})\n");
  EXPECT_THAT(Members("npm"), ElementsAre("built-in.example.com:443"));
  Put("/home/u/.npmrc", "@ours:registry=https://ours.example.com\n");
  EXPECT_THAT(Members("npm"), ElementsAre("ours.example.com:443", "built-in.example.com:443"))
      << "what is of no scope comes from there";
  Put("/home/u/.npmrc", "registry=https://mirror.example.com\n");
  EXPECT_THAT(Members("npm"), ElementsAre("mirror.example.com:443"));
}

TEST_F(HostGroupsTest, PipHasItsIndexes) {
  Put("/usr/lib/python3/dist-packages/pip/_internal/models/index.py",
      "PyPI = PackageIndex(\"https://index.example.com/\", "
      "file_storage_domain=\"files.example.com\")\n"
      "TestPyPI = PackageIndex(\"https://test.example.com/\", file_storage_domain=\"t\")\n");
  EXPECT_THAT(Members("pip"), ElementsAre("index.example.com:443", "files.example.com:443"));
  Put("/etc/pip.conf",
      "[global]\nindex-url = https://user:pass@mirror.example.com/simple\n"
      "extra-index-url =\n    http://one.example.com/\n    http://two.example.com/\n"
      "proxy = http://proxy.example.com\n");
  EXPECT_THAT(Members("pip"),
              ElementsAre("mirror.example.com:443", "one.example.com:80", "two.example.com:80"));
}

TEST_F(HostGroupsTest, PipReadsItsFileAsPipDoes) {
  Put("/usr/lib/python3/dist-packages/pip/_internal/models/index.py",
      "PyPI = PackageIndex(\"https://index.example.com/\", \"files.example.com\")\n");
  Put("/etc/pip.conf",
      "[global]\n# index-url = https://old.example.com/simple\n; https://old.example.com/\n"
      "extra_index_url: https://one.example.com/\n  # https://old.example.com/\n"
      "  https://user:pass@two.example.com/simple?a=b\n"
      "proxy: http://proxy.example.com\n   http://no.example.com\n"
      "[install]\n--find-links = https://three.example.com/wheels\n");
  EXPECT_THAT(Members("pip"),
              ElementsAre("one.example.com:443", "two.example.com:443", "three.example.com:443",
                          "index.example.com:443", "files.example.com:443"));
}

TEST_F(HostGroupsTest, CargoHasRegistriesInEveryFormOfToml) {
  Put("/home/u/.cargo/config.toml",
      "[registries]\nours = { token = \"https://not.example.com\", index = "
      "\"sparse+https://one.example.com/index/\" } # index = \"https://old.example.com\"\n"
      "theirs.index = 'https://two.example.com/#main'\n# index = \"https://old.example.com\"\n"
      "[registry]\ndefault = \"ours\"\nmy-index = \"https://not.example.com\"\n");
  EXPECT_THAT(Members("cargo"), ElementsAre("one.example.com:443", "two.example.com:443"));
}

TEST_F(HostGroupsTest, CargoHasItsRegistriesAndWhatItHasUsed) {
  Put("/home/u/.cargo/config.toml",
      "[source.mirror]\nregistry = \"sparse+https://crates.example.com/index/\" # ours\n"
      "[registries.ours]\nindex = 'https://git.example.com/index'\n"
      "[net]\ngit-fetch-with-cli = true\n");
  Put("/home/u/.cargo/registry/index/used.example.com-1949cf8c6b5b557f/config.json",
      "{\"dl\": \"https://dl.example.com/crates\", \"api\": \"https://api.example.com\"}");
  EXPECT_THAT(Members("cargo"),
              ElementsAre("crates.example.com:443", "git.example.com:443", "used.example.com:443",
                          "dl.example.com:443", "api.example.com:443"));
}

TEST_F(HostGroupsTest, GoHasItsProxiesAndChecksums) {
  Put("/usr/lib/go-1.19/src/cmd/go/internal/cfg/cfg.go",
      "\tGOPROXY = envOr(\"GOPROXY\", \"https://proxy.example.com,direct\")\n"
      "\tGOSUMDB = envOr(\"GOSUMDB\", \"sum.example.com\")\n");
  EXPECT_THAT(Members("go"), ElementsAre("proxy.example.com:443", "sum.example.com:443"));
  Put("/home/u/.config/go/env", "GOPROXY=http://one.example.com|https://two.example.com,off\n");
  EXPECT_THAT(Members("go"),
              ElementsAre("one.example.com:80", "two.example.com:443", "sum.example.com:443"));
}

TEST_F(HostGroupsTest, WhatIsNoFileOrNoUrlIsNothing) {
  std::filesystem::create_directories(root_ + "/home/u");
  ASSERT_EQ(mkfifo((root_ + "/home/u/.npmrc").c_str(), 0600), 0);
  EXPECT_THAT(Members("npm"), IsEmpty());
  for (const char* url :
       {"", "example.com", "ftp://example.com/", "https://", "https:///x", "https://*/",
        "https://a b/", "https://localhost:4873/", "http://127.0.0.1:4873", "http://[::1]:1/",
        "https://example.com:0/", "https://example.com:x/", "https://*.example.com/",
        "https://.example.com/", "https://host/", "https://ex\nample.com/", "https://[::1",
        "https://127.1/"}) {
    EXPECT_EQ(EndpointOfUrl(url), "") << url;
  }
  EXPECT_EQ(EndpointOfUrl("https://EXAMPLE.com?x"), "EXAMPLE.com:443");
  EXPECT_EQ(EndpointOfUrl("http://[2001:db8::1]:8080/x"), "[2001:db8::1]:8080");
  EXPECT_EQ(EndpointOfUrl("https://10.0.0.5/x"), "10.0.0.5:443");
}

TEST_F(HostGroupsTest, OnlyGroupsThatAProfileNamesAreRead) {
  policy::Profile profile;
  profile.network_rules.emplace_back().to = {"@npm", "@ours", "example.com"};
  EXPECT_EQ(UsedGroups(profile), std::set<std::string>{"npm"});
}

}  // namespace
}  // namespace cellrun::groups
