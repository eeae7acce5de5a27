// SPDX-License-Identifier: Apache-2.0
// Arguments that would move a cursor, hide, imitate or flood, of a command that really waits: on
// every surface that shows them, and in what runs at last.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <nlohmann/json.hpp>
#include <thread>

#include "tests/support/sandbox.h"

namespace cellrun::test {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

// As bash writes them; what the cell passes on is compared byte for byte.
constexpr std::array kAttacks = {R"($'\e[2J\e[H\e]0;owned\a\e[31m')",
                                 R"($'\e[?1049l\ec')",
                                 R"($'line\nRISK none\r\n')",
                                 R"($'\u202egnp.exe\u2066\u200b\u200f')",
                                 R"($'\u009b2J\u0090q\u009c')",
                                 R"($'\x9b2J')",
                                 R"($'\eP+q544e\e\\\e_x\e\\')",
                                 R"($'\xff\xfe\xed\xa0\x80')",
                                 R"($'\b\b\b\b\b\b\b\b')",
                                 R"($'id\tapproved by root')"};

// What would do something on a terminal, or deceive a reader of it.
void ExpectHarmless(const std::string& text, const std::string& surface) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    EXPECT_FALSE((byte < 0x20 && c != '\n') || byte == 0x7f)
        << surface << " has the byte " << static_cast<int>(byte);
    if ((byte < 0x20 && c != '\n') || byte == 0x7f) return;
  }
  for (const char* hidden : {"\u202e", "\u2066", "\u200b", "\u200f", "\u009b", "\u0090"})
    EXPECT_THAT(text, Not(HasSubstr(hidden))) << surface;
}

class HostileAskTest : public Sandbox {
 protected:
  Options Asking() {
    return {.profile = WriteProfile(
                "cellrun: 1\nname: asks\nextends: [base]\ncommands:\n  default: allow\n  rules:\n"
                "    - {when: {exe: printf}, then: ask}\napprovals: {timeout: 60s}\n")};
  }
  json AwaitAsk() {
    const auto deadline = std::chrono::steady_clock::now() + 30s;
    while (std::chrono::steady_clock::now() < deadline) {
      const json asks =
          json::parse(Cellrun({"approvals", "list", "-o", "json"}).out, nullptr, false);
      if (asks.is_array() && !asks.empty()) return asks[0];
      std::this_thread::sleep_for(5ms);
    }
    ADD_FAILURE() << "nobody asked";
    return {{"id", "none"}};
  }
  // What the broker's own socket answers, as it is.
  std::string Api(const std::string& target) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path = RuntimeDirectory() + "/api.sock";
    path.copy(&address.sun_path[0], sizeof address.sun_path - 1);
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    std::string answer;
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      return answer;
    const std::string request =
        "GET " + target + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    (void)!write(fd.get(), request.data(), request.size());
    std::array<char, 65536> bytes{};
    for (ssize_t got = 0; (got = read(fd.get(), bytes.data(), bytes.size())) > 0;)
      answer.append(bytes.data(), static_cast<std::size_t>(got));
    return answer.substr(std::min(answer.find("\r\n\r\n"), answer.size()));
  }
};

TEST_F(HostileAskTest, ShowsTheCellsTextAsTextEverywhere) {
  std::string command = "/usr/bin/printf '<%s>'";
  for (const char* attack : kAttacks) command += std::string(" ") + attack;
  const std::string expected = Bare({"bash", "-c", command}).out;
  ASSERT_THAT(expected, HasSubstr("\033[2J")) << "without cellrun it reaches whoever looks";

  Process cell = Start({"bash", "-c", command}, Asking());
  const json ask = AwaitAsk();
  const std::string id = ask.value("id", "none");
  const std::vector<Words> surfaces = {{"approvals", "list"},
                                       {"approvals", "list", "-o", "yaml"},
                                       {"approvals", "show", id},
                                       {"history", "--asks"},
                                       {"history"}};
  for (const Words& words : surfaces) {
    const Outcome shown = Cellrun(words);
    EXPECT_EQ(shown.status, 0) << shown;
    ExpectHarmless(shown.out + shown.err, words[0] + " " + words.back());
  }
  const std::string whole = Cellrun({"approvals", "show", id}).out;
  for (const char* form : {"\\u{1b}[2J", "\\u{202e}gnp.exe", "\\x{ff}", "\\x{9b}2J"})
    EXPECT_THAT(whole, HasSubstr(form));
  EXPECT_THAT(whole, HasSubstr("characters that do not show")) << "and says that there are such";
  for (const Words& words :
       {Words{"approvals", "list", "-o", "json"}, Words{"approvals", "list", "-o", "jsonl"},
        Words{"approvals", "show", id, "-o", "json"}, Words{"history", "-o", "jsonl"},
        Words{"history", "-o", "json"}}) {
    const Outcome shown = Cellrun(words);
    EXPECT_THAT(shown.out, HasSubstr("u001b[2J")) << words[0];
    ExpectHarmless(shown.out, words[0] + " as JSON");
  }
  // The API has the text itself, for whoever shows it; never a byte that a terminal obeys.
  for (const std::string& target :
       {std::string("/v1/approvals"), "/v1/approvals/" + id, std::string("/v1/records?kind=ask")}) {
    const std::string text = Api(target);
    EXPECT_THAT(text, HasSubstr("u001b[2J")) << target;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      ASSERT_TRUE(byte >= 0x20 || c == '\n' || c == '\r') << target << static_cast<int>(byte);
    }
  }
  const Outcome approved = Cellrun({"approve", id});
  EXPECT_EQ(approved.status, 0) << approved;
  ExpectHarmless(approved.out + approved.err, "approve");
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.out, expected) << "exactly what was shown ran";
  ExpectHarmless(outcome.err, "what the waiting process says");
  for (const Words& words : {Words{"approvals", "list", "--state", "all"},
                             Words{"history", "--asks"}, Words{"approvals", "report"}}) {
    const Outcome shown = Cellrun(words);
    EXPECT_EQ(shown.status, 0) << shown;
    ExpectHarmless(shown.out + shown.err, words[0] + " " + words.back() + " afterwards");
  }
}

TEST_F(HostileAskTest, TwoMegabytesAreListedShortShownWholeAndRunExactly) {
  // 15 arguments of nearly 128 KiB, the longest that the kernel takes, and an end.
  const std::string command =
      "x=$(head -c 131000 /dev/zero | tr '\\0' x)\n"
      "exec /usr/bin/printf '%s' $x $x $x $x $x $x $x $x $x $x $x $x $x $x $x $'\\e[2JEND'";
  Process cell = Start({"bash", "-c", command}, Asking());
  const json ask = AwaitAsk();
  const std::string id = ask.value("id", "none");
  EXPECT_TRUE(ask.value("argv_cut", false));
  EXPECT_GT(ask.value("argv_bytes", 0), 15 * 131000);
  for (const Words& words : {Words{"approvals", "list"}, Words{"history", "--asks"}}) {
    const Outcome shown = Cellrun(words);
    EXPECT_LT(shown.out.size(), 40'000U) << words[0] << ": the journal keeps 32 KiB of arguments";
    ExpectHarmless(shown.out, words[0]);
  }
  const std::string whole = Cellrun({"approvals", "show", id}).out;
  EXPECT_THAT(whole, HasSubstr("\\u{1b}[2JEND")) << "the end of it is there to be seen";
  EXPECT_GT(whole.size(), 15U * 131000);
  EXPECT_THAT(whole, HasSubstr("longer than 4 KiB"));
  const Outcome approved = Cellrun({"approve", id});
  EXPECT_EQ(approved.status, 0) << approved.err.substr(0, 1000);
  const Outcome outcome = cell.Wait();
  EXPECT_EQ(outcome.out.size(), 15U * 131000 + 7) << outcome.err.substr(0, 1000);
  EXPECT_TRUE(outcome.out.ends_with("\033[2JEND"));
}

}  // namespace
}  // namespace cellrun::test
