// SPDX-License-Identifier: Apache-2.0
#include "lib/policy/document.h"

#include <algorithm>
#include <array>
#include <set>

#include "lib/base/text.h"
#include "lib/policy/field_reader.h"
#include "lib/policy/limits_reader.h"
#include "lib/policy/network_target.h"
#include "lib/policy/rule_reader.h"
#include "lib/policy/units.h"
#include "lib/policy/value_type.h"

namespace cellrun::policy {
namespace {

struct ModeName {
  std::string_view name;
  WorkspaceMode mode;
};
constexpr auto kModes = std::to_array<ModeName>({{"rw", WorkspaceMode::kReadWrite},
                                                 {"ro", WorkspaceMode::kReadOnly},
                                                 {"overlay", WorkspaceMode::kOverlay},
                                                 {"snapshot", WorkspaceMode::kSnapshot}});

class DocumentReader {
 public:
  DocumentReader(const Source& source, const Places& places, Document* document,
                 std::vector<Problem>* problems)
      : reader_(source, places, problems), document_(document), values_(document->values) {}

  void Run(const YamlNode& root) {
    Head(root);
    WithSection(root, "cell", &DocumentReader::Cell);
    WithSection(root, "filesystem", &DocumentReader::Files);
    reader_.Paths(root, "path", &values_.path);
    WithSection(root, "commands", &DocumentReader::Commands);
    WithSection(root, "network", &DocumentReader::Network);
    WithSection(root, "syscalls", &DocumentReader::Syscalls);
    WithSection(root, "limits", &DocumentReader::ReadLimits);
    WithSection(root, "environment", &DocumentReader::Environment);
    WithSection(root, "tools", &DocumentReader::Tools);
    WithSection(root, "secrets", &DocumentReader::Secrets);
    WithSection(root, "approvals", &DocumentReader::Approvals);
    WithSection(root, "audit", &DocumentReader::Audit);
    WithSection(root, "tests", &DocumentReader::Tests);
  }

 private:
  using Part = void (DocumentReader::*)(const YamlNode&);

  void WithSection(const YamlNode& root, std::string_view key, Part part) {
    if (const YamlNode* section = root.Find(key)) (this->*part)(*section);
  }

  void Head(const YamlNode& root) {
    reader_.Text(root, "name", &values_.name);
    reader_.Text(root, "description", &values_.description);
    reader_.Texts(root, "require", &values_.require);
    const YamlNode* extends = root.Find("extends");
    if (extends == nullptr) return;
    for (const YamlNode& item : extends->items) {
      document_->extends.push_back({item.text, reader_.At(item)});
    }
  }

  void Cell(const YamlNode& map) {
    reader_.Text(map, "backend", &values_.backend);
    reader_.Text(map, "image", &values_.image);
    reader_.Text(map, "hostname", &values_.hostname);
    reader_.Text(map, "user", &values_.user);
  }

  void Files(const YamlNode& map) {
    Filesystem& files = values_.filesystem;
    if (const YamlNode* root = map.Find("root")) {
      const bool named = root->text == "host" || root->text == "image";
      files.root = reader_.Place(named ? root->text : reader_.Absolute(root->text), *root);
    }
    if (const YamlNode* mode = map.Find("workspace")) {
      const auto found = std::find_if(kModes.begin(), kModes.end(),
                                      [&](const ModeName& m) { return m.name == mode->text; });
      files.workspace = reader_.Place(found->mode, *mode);
    }
    if (const YamlNode* home = map.Find("home")) {
      files.home = reader_.Place(reader_.Absolute(home->text), *home);
    }
    reader_.Paths(map, "read", &files.read);
    reader_.Paths(map, "write", &files.write);
    reader_.Paths(map, "hide", &files.hide);
    reader_.Paths(map, "protect", &files.protect);
    reader_.Paths(map, "noexec", &files.noexec);
    Remember(map, "noexec", &document_->noexec);
    if (const YamlNode* tmp = map.Find("tmp")) Size(*tmp, &files.tmp_bytes);
  }

  void Commands(const YamlNode& map) {
    reader_.Verdict(map, "default", &values_.command_default);
    if (const YamlNode* rules = map.Find("rules")) ReadCommandRules(reader_, *rules, document_);
  }

  void Network(const YamlNode& map) {
    reader_.Verdict(map, "default", &values_.network_default);
    if (const YamlNode* rules = map.Find("rules")) ReadNetworkRules(reader_, *rules, document_);
    if (const YamlNode* groups = map.Find("groups")) Groups(*groups);
    if (const YamlNode* publish = map.Find("publish")) {
      for (const YamlNode& item : publish->items) {
        values_.publish.push_back(reader_.Place(PublishedValue(item.text), item));
      }
    }
    Remember(map, "publish", &document_->publish);
    if (const YamlNode* dns = map.Find("dns")) Resolvers(*dns);
    reader_.Text(map, "upstream-proxy", &values_.upstream_proxy);
    reader_.Text(map, "proxy-secret", &values_.proxy_secret);
  }

  void Groups(const YamlNode& map) {
    for (const YamlEntry& group : map.entries) {
      if (IsBuiltInGroup(group.key)) {
        reader_.Note(group.value, "the group @" + group.key + " is built in", "another name");
      }
      std::vector<std::string>& members = values_.network_groups[group.key];
      for (const YamlNode& item : group.value.items) members.push_back(item.text);
    }
  }

  void Resolvers(const YamlNode& map) {
    if (const YamlNode* upstream = map.Find("upstream")) {
      values_.dns_upstream = Servers(*upstream);
      Remember(map, "upstream", &document_->dns_upstream);
    }
    if (const YamlNode* split = map.Find("split")) {
      for (const YamlEntry& domain : split->entries) SplitDomain(domain);
    }
  }
  // None: the system's.
  std::vector<std::string> Servers(const YamlNode& node) {
    std::vector<std::string> servers;
    if (node.kind == YamlNode::Kind::kScalar) servers.push_back(node.text);
    for (const YamlNode& item : node.items) servers.push_back(item.text);
    const bool system = std::find(servers.begin(), servers.end(), "system") != servers.end();
    if (system && servers.size() > 1) {
      reader_.Note(node, "'system' beside addresses", "one or the other");
    }
    if (system) servers.clear();
    return servers;
  }
  void SplitDomain(const YamlEntry& domain) {
    YamlNode key;
    key.line = domain.line;
    key.column = domain.column;
    const Result<NetworkTarget> name = ParseTarget(domain.key);
    if (!name.ok()) return;  // refused by the schema
    const bool first =
        values_.dns_split.emplace(name->name, reader_.Place(Servers(domain.value), key)).second;
    if (first) return;
    reader_.Note(key, "a second domain '" + name->name + "'",
                 "each domain once: upper and lower case are the same");
  }

  void Syscalls(const YamlNode& map) {
    if (const YamlNode* rules = map.Find("rules")) ReadSyscallRules(reader_, *rules, document_);
  }

  void ReadLimits(const YamlNode& map) { policy::ReadLimits(reader_, map, &values_.limits); }

  void Environment(const YamlNode& map) {
    reader_.Texts(map, "pass", &values_.environment_pass);
    reader_.Texts(map, "drop", &values_.environment_drop);
    Remember(map, "drop", &document_->environment_drop);
    const YamlNode* set = map.Find("set");
    if (set == nullptr) return;
    for (const YamlEntry& entry : set->entries) {
      values_.environment_set[entry.key] = reader_.Place(entry.value.text, entry.value);
    }
  }

  void Tools(const YamlNode& list) {
    std::set<std::string_view> names;
    for (const YamlNode& item : list.items) {
      Tool& tool = values_.tools.emplace_back();
      tool.at = reader_.At(item);
      reader_.Text(item, "name", &tool.name);
      if (const YamlNode* run = item.Find("run")) tool.run = StrategyFromName(run->text);
      ReadGhost(reader_, item, document_, &tool.ghost);
      CheckMirroredTool(item, tool);
      RefuseSecond(&names, *item.Find("name"), "tool");
    }
  }

  void Secrets(const YamlNode& list) {
    std::set<std::string_view> names;
    for (const YamlNode& item : list.items) {
      Secret& secret = values_.secrets.emplace_back();
      secret.at = reader_.At(item);
      reader_.Text(item, "name", &secret.name);
      reader_.Text(item, "from", &secret.from);
      const YamlNode* as = item.Find("as");
      secret.as_file = as != nullptr && as->text == "file";
      constexpr std::string_view kFile = "file:";
      if (secret.from.starts_with(kFile)) {
        secret.from = std::string(kFile) + reader_.Absolute(secret.from.substr(kFile.size()));
      }
      RefuseSecond(&names, *item.Find("name"), "secret");
    }
  }

  void CheckMirroredTool(const YamlNode& item, const Tool& tool) {
    if (tool.run != Strategy::kMirror) return;
    for (const char* right : {"image", "network", "secrets", "write", "limits"}) {
      const YamlNode* node = item.Find(right);
      if (node == nullptr) continue;
      reader_.Note(*node, "'" + std::string(right) + "' of a tool with run: mirror",
                   "run: ghost: a mirrored tool has the cell's own rights");
    }
  }

  void RefuseSecond(std::set<std::string_view>* names, const YamlNode& name, const char* what) {
    if (names->insert(name.text).second) return;
    reader_.Note(name, "a second " + std::string(what) + " '" + name.text + "'", "each name once");
  }

  void Approvals(const YamlNode& map) {
    if (const YamlNode* node = map.Find("timeout")) Duration(*node, &values_.approval_timeout);
    reader_.Verdict(map, "on-timeout", &values_.approval_on_timeout);
    if (const YamlNode* node = map.Find("pending")) {
      values_.approvals_pending = reader_.Place(IntegerValue(node->text), *node);
    }
  }

  void Audit(const YamlNode& map) {
    reader_.Audit(map, "commands", &values_.audit_commands);
    reader_.Audit(map, "network", &values_.audit_network);
    if (const YamlNode* node = map.Find("arguments")) {
      values_.audit_redact = reader_.Place(node->text == "redact", *node);
    }
  }

  void Tests(const YamlNode& list) {
    values_.tests.reserve(list.items.size());
    for (const YamlNode& item : list.items) Test(item);
  }

  void Test(const YamlNode& item) {
    TestCase& test = values_.tests.emplace_back();
    test.at = reader_.At(item);
    reader_.Texts(item, "exec", &test.exec);
    reader_.Text(item, "connect", &test.connect);
    reader_.Text(item, "cwd", &test.cwd);
    reader_.Boolean(item, "writable", &test.writable);
    reader_.Boolean(item, "anonymous", &test.anonymous);
    reader_.Verdict(item, "expect", &test.expect);
    reader_.Text(item, "rule", &test.rule);
    if (const YamlNode* env = item.Find("env")) {
      for (const YamlEntry& entry : env->entries) test.env[entry.key] = entry.value.text;
    }
    CheckTest(item, test);
  }

  void CheckTest(const YamlNode& item, const TestCase& test) {
    if (test.exec.empty() == test.connect.empty()) {
      reader_.Note(item, test.exec.empty() ? "a test without a subject" : "a test of two subjects",
                   "either exec or connect");
    }
    if (!test.exec.empty()) return;
    for (const char* key : {"cwd", "env", "writable", "anonymous"}) {
      const YamlNode* node = item.Find(key);
      if (node == nullptr) continue;
      reader_.Note(*node, "'" + std::string(key) + "' in a test of a connection", "only with exec");
    }
  }

  void Remember(const YamlNode& map, std::string_view key, Position* at) {
    if (const YamlNode* node = map.Find(key)) *at = reader_.At(*node);
  }
  void Size(const YamlNode& node, Placed<std::uint64_t>* target) {
    *target = reader_.Place(ParseSize(node.text).value_or(0), node);
  }
  void Duration(const YamlNode& node, Placed<std::chrono::milliseconds>* target) {
    *target = reader_.Place(ParseDuration(node.text).value_or(std::chrono::milliseconds(0)), node);
  }

  const FieldReader reader_;
  Document* document_;
  Profile& values_;
};

}  // namespace

std::vector<Problem> ReadDocument(const Source& source, const YamlNode& root, const Places& places,
                                  Document* document) {
  std::vector<Problem> problems;
  document->layer = source.layer;
  document->at = {source.origin, 0, 0};
  document->values.documents.push_back(document->at);
  DocumentReader(source, places, document, &problems).Run(root);
  return problems;
}

}  // namespace cellrun::policy
