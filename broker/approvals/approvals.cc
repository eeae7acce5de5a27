// SPDX-License-Identifier: Apache-2.0
#include "broker/approvals/approvals.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "broker/approvals/rule_text.h"
#include "lib/sys/random.h"

namespace cellrun::approvals {
namespace {

constexpr std::size_t kIdBytes = 4;
constexpr std::chrono::hours kDefaultLife{30 * 24};  // of rules that outlive their cell
// A timer is monotonic and an expiry is not: it is looked at again at least so often.
constexpr std::chrono::minutes kLookAgain{10};

journal::Record RecordOf(const Entry& entry) {
  const Ask ask = *entry.ask;
  journal::Record record = journal::RecordNow(journal::Kind::kAsk, ask.cell_id, ask.pid);
  record.exe = ask.program;
  record.chain = ask.chain;
  record.argv = ask.argv;
  record.cwd = ask.cwd;
  record.env_digest = ask.environment_digest;
  record.image_hash = ask.image_hash;
  if (!ask.parents.empty()) record.parent = ask.parents.front();
  record.verdict = policy::Action::kAsk;
  record.strategy = ask.strategy;
  record.rule = ask.rule;
  record.reason = ask.reason;
  return record;
}

nlohmann::json DetailOf(const Entry& entry) {
  return {{"id", entry.id}, {"digest", "sha256:" + entry.digest}};
}

nlohmann::json DetailOf(const Entry& entry, const Answer& answer, const Approver& approver) {
  const auto after = std::chrono::steady_clock::now() - entry.asked;
  nlohmann::json detail = DetailOf(entry);
  detail["by"] = approver.ToString();
  detail["uid"] = approver.uid;
  detail["pid"] = approver.pid;
  detail["terminal"] = approver.terminal;
  detail["scope"] = ScopeName(answer.scope);
  detail["after_ms"] = std::chrono::duration_cast<std::chrono::milliseconds>(after).count();
  return detail;
}

std::string Dump(const nlohmann::json& detail) {
  return detail.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
}

}  // namespace

class Approvals::Follower final : public Subscription {
 public:
  Follower(Approvals& approvals, std::uint64_t id) : approvals_(approvals), id_(id) {}
  ~Follower() override { approvals_.followers_.erase(id_); }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;

 private:
  Approvals& approvals_;
  const std::uint64_t id_;
};

Result<std::unique_ptr<Approvals>> Approvals::Open(loop::Loop& loop, journal::Sink& journal,
                                                   const std::string& state_directory) {
  Store::Opened opened = TRY(Store::Open(state_directory));
  const std::vector<Store::Orphan> orphans = std::move(opened.orphans);
  const std::vector<Rule> rules = std::move(opened.rules);
  std::unique_ptr<Approvals> approvals(
      new Approvals(loop, journal, std::move(opened), state_directory + "/approvals"));
  for (const Store::Orphan& orphan : orphans) approvals->RecordOrphan(orphan);
  for (const Rule& rule : rules) approvals->rules_.Add(rule);
  approvals->ExpireRules();
  return approvals;
}

Approvals::Approvals(loop::Loop& loop, journal::Sink& journal, Store::Opened opened,
                     std::string directory)
    : loop_(loop),
      journal_(journal),
      store_(std::move(opened.store)),
      book_(
          {}, [] { return sys::RandomHex(kIdBytes); }, opened.last_order),
      rules_(std::move(directory)) {}

Approvals::~Approvals() = default;

Now Approvals::Time() {
  return {.steady = std::chrono::steady_clock::now(), .wall = std::chrono::system_clock::now()};
}

Queue::Submission Approvals::Submit(PackedAsk ask, Decided decided) {
  const auto refuse = [](const char* reason, const char* by) {
    return Submission{
        .refusal = Decision{.state = State::kDenied, .reason = reason, .argv = {}, .by = by},
        .id = {},
        .waiter = 0,
        .left = {}};
  };
  if (!store_->HasRoom()) return refuse("asks come faster than they can be kept", "approvals.db");
  if (!followers_.empty()) Look();
  Book::Submitted submitted = book_.Submit(std::move(ask), Time());
  if (submitted.refusal) {
    return {.refusal = std::move(submitted.refusal), .id = {}, .waiter = 0, .left = {}};
  }
  const Entry* entry = book_.Find(submitted.id);
  if (!submitted.joined && !RecordAsked(*entry)) {
    (void)book_.Withdraw(submitted.waiter, Time());
    return refuse("the journal cannot keep the ask", "journal");
  }
  decided_[submitted.waiter] = std::move(decided);
  Tell(*entry);
  ArmTimer();
  return {.refusal = std::nullopt,
          .id = submitted.id,
          .waiter = submitted.waiter,
          .left = submitted.left};
}

void Approvals::Look() {
  Apply(book_.Look(Time()));
}

void Approvals::Withdraw(std::uint64_t waiter) {
  decided_.erase(waiter);
  Apply(book_.Withdraw(waiter, Time()));
}

void Approvals::ForgetCell(const std::string& cell_id) {
  Apply(book_.ForgetCell(cell_id, Time()));
  rules_.ForgetCell(cell_id);
}

Approvals::Outcome Approvals::Take(const std::string& id, const Answer& answer,
                                   const Approver& approver) {
  Outcome outcome;
  // An answer that comes when the time is over is too late, also before the timer has fired.
  Apply(book_.Expire(Time()));
  outcome.refusal = book_.Check(id, answer, approver);
  if (const Entry* found = book_.Find(id)) outcome.entry = *found;
  if (const Book::Past* past = book_.FindPast(id)) outcome.past = *past;
  if (outcome.refusal == Book::Refusal::kChanged) {
    RecordMismatch(*outcome.entry, answer, approver);
  }
  if (outcome.refusal == Book::Refusal::kOver) RecordTooLate(id, *outcome.past, approver);
  if (outcome.refusal != Book::Refusal::kNone) return outcome;
  std::optional<Rule> rule;
  if (answer.scope != Scope::kOnce) {
    Result<Rule> made = MakeRule(*outcome.entry, answer, approver);
    if (!made.ok()) {
      outcome.problem = "it cannot be remembered: " + made.error().context();
      return outcome;
    }
    rule = std::move(*made);
  }
  if (!RecordAnswer(*outcome.entry, answer, approver)) {
    outcome.problem = "the journal cannot keep the answer";
    return outcome;
  }
  if (rule) Remember(*rule);
  Book::Changes changes = book_.Take(id, answer, approver, Time());
  if (changes.ended.empty()) {
    outcome.entry = *book_.Find(id);
  } else {
    outcome.entry = changes.ended.front();
    outcome.past = *book_.FindPast(id);
  }
  Apply(std::move(changes));
  return outcome;
}

void Approvals::Apply(Book::Changes changes) {
  std::vector<std::pair<Decided, Decision>> calls;
  for (auto& [waiter, decision] : changes.decided) {
    const auto found = decided_.find(waiter);
    if (found == decided_.end()) continue;
    calls.emplace_back(std::move(found->second), std::move(decision));
    decided_.erase(found);
  }
  for (const Entry& entry : changes.ended) {
    const bool by_itself = entry.state == State::kExpired || entry.state == State::kWithdrawn;
    if (by_itself) RecordEnd(entry);
    Tell(entry);
  }
  for (const std::string& id : changes.changed) {
    if (const Entry* entry = book_.Find(id)) Tell(*entry);
  }
  ArmTimer();
  for (const auto& [decided, decision] : calls) decided(decision);
}

void Approvals::Tell(const Entry& entry) {
  store_->Put(entry);
  if (on_changes_) on_changes_();
  // A follower may leave while it is told.
  std::vector<std::uint64_t> ids;
  for (const auto& [id, changed] : followers_) ids.push_back(id);
  for (const std::uint64_t id : ids) {
    const auto found = followers_.find(id);
    if (found != followers_.end()) found->second(entry);
  }
}

std::unique_ptr<Approvals::Subscription> Approvals::Subscribe(Changed changed) {
  const std::uint64_t id = next_follower_++;
  followers_[id] = std::move(changed);
  return std::make_unique<Follower>(*this, id);
}

void Approvals::ArmTimer() {
  const auto next = book_.NextDeadline();
  if (next == timer_at_) return;
  timer_at_ = next;
  timer_.reset();
  if (!next) return;
  const auto delay =
      std::max(std::chrono::steady_clock::duration(0), *next - std::chrono::steady_clock::now());
  timer_ = loop_.After(delay, [this] {
    timer_at_.reset();
    Apply(book_.Expire(Time()));
  });
}

Result<Approvals::Proposal> Approvals::Propose(const Entry& entry, const Answer& answer,
                                               const Approver& approver,
                                               const std::string& rule_id) {
  if (answer.scope == Scope::kOnce) return Error(EINVAL, "", "scope once stores no rule");
  Proposal proposal;
  const auto now = std::chrono::system_clock::now();
  if (answer.for_time) {
    proposal.expires = now + *answer.for_time;
  } else if (answer.scope != Scope::kCell) {
    proposal.expires = now + kDefaultLife;
  }
  proposal.text = TRY(RuleText({.id = rule_id,
                                .ask = *entry.ask,
                                .allow = answer.approve,
                                .scope = answer.scope,
                                .widen = answer.widen,
                                .by = approver.ToString(),
                                .reason = answer.reason,
                                .expires = proposal.expires}));
  return proposal;
}

Result<Rule> Approvals::MakeRule(const Entry& entry, const Answer& answer,
                                 const Approver& approver) const {
  const Ask ask = *entry.ask;
  const std::string id = sys::RandomHex(kIdBytes);
  Proposal proposal = TRY(Propose(entry, answer, approver, id));
  Rule rule{.id = id,
            .scope = answer.scope,
            .cell_id = ask.cell_id,
            .cell_name = ask.cell_name,
            .workspace = ask.workspace,
            .verdict = answer.approve ? policy::Action::kAllow : policy::Action::kDeny,
            .text = std::move(proposal.text),
            .exe = ask.program,
            .created = std::chrono::system_clock::now(),
            .expires = proposal.expires,
            .by = approver.ToString(),
            .ask = entry.id};
  if (!rules_.HasRoom(rule)) {
    return Error(ENOSPC, "", "too much is remembered already (cellrun approvals rules)");
  }
  return rule;
}

void Approvals::Remember(const Rule& rule) {
  (void)RecordRule(rule, "remembered", rule.by);  // the answer itself is recorded
  rules_.Add(rule);
  if (rule.scope != Scope::kCell) store_->PutRule(rule);
  RulesChanged(rule);
}

std::optional<Rule> Approvals::Revoke(const std::string& id, const Approver& by) {
  std::optional<Rule> rule = rules_.Remove(id);
  if (!rule) return rule;
  (void)RecordRule(*rule, "revoked", by.ToString());  // to have fewer rights needs no record
  store_->RemoveRule(rule->id);
  RulesChanged(*rule);
  return rule;
}

void Approvals::RulesChanged(const Rule& rule) {
  if (rule.scope != Scope::kCell) store_->WriteFiles(rules_.Files());
  ArmRuleTimer();
  if (on_rules_) on_rules_(rule);
}

void Approvals::ExpireRules() {
  for (const Rule& rule : rules_.Expire(std::chrono::system_clock::now())) {
    (void)RecordRule(rule, "expired", "its time");  // it decides nothing any more either way
    store_->RemoveRule(rule.id);
    RulesChanged(rule);
  }
  ArmRuleTimer();
}

void Approvals::ArmRuleTimer() {
  const auto next = rules_.NextExpiry();
  rule_timer_.reset();
  if (!next) return;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
      *next - std::chrono::system_clock::now());
  const auto delay = std::clamp<std::chrono::milliseconds>(
      left + std::chrono::milliseconds(1), std::chrono::milliseconds(1), kLookAgain);
  rule_timer_ = loop_.After(delay, [this] { ExpireRules(); });
}

bool Approvals::RecordAsked(const Entry& entry) {
  journal::Record record = RecordOf(entry);
  record.result = "pending";
  record.detail = Dump(DetailOf(entry));
  return journal_.Append(std::move(record)) != 0;
}

bool Approvals::RecordAnswer(const Entry& entry, const Answer& answer, const Approver& approver) {
  journal::Record record = RecordOf(entry);
  const bool whole = !answer.approve || book_.Completes(entry);
  nlohmann::json detail = DetailOf(entry, answer, approver);
  if (answer.approve) {
    if (whole) record.verdict = policy::Action::kAllow;
    record.result = whole ? "approved" : "approved in part";
    if (answer.argv && *answer.argv != entry.ask->argv) {
      detail["edited"] = true;
      record.argv = *answer.argv;
    }
  } else {
    record.verdict = policy::Action::kDeny;
    record.result = "denied";
  }
  record.reason = answer.reason;
  record.detail = Dump(detail);
  return journal_.Append(std::move(record)) != 0;
}

// Somebody answered an ask that he was not shown: a stale screen, or a try to have one thing
// approved and another run.
void Approvals::RecordMismatch(const Entry& entry, const Answer& answer, const Approver& approver) {
  journal::Record record = RecordOf(entry);
  nlohmann::json detail = DetailOf(entry, answer, approver);
  detail["answered_digest"] = "sha256:" + answer.digest;
  record.verdict = policy::Action::kDeny;
  record.reason = "the answer is not for what is asked: its digest differs";
  record.result = "mismatch";
  record.detail = Dump(detail);
  (void)journal_.Append(std::move(record));  // nothing runs either way
}

// It does nothing; but who thought that he had answered can be told why.
void Approvals::RecordTooLate(const std::string& id, const Book::Past& past,
                              const Approver& approver) {
  journal::Record record = journal::RecordNow(journal::Kind::kAsk, past.cell);
  record.exe = past.program;
  record.verdict = policy::Action::kDeny;
  record.result = "too late";
  record.reason = std::string("the ask was ") + StateName(past.state) + " already: " + past.by;
  record.detail = Dump({{"id", id},
                        {"by", approver.ToString()},
                        {"uid", approver.uid},
                        {"pid", approver.pid},
                        {"terminal", approver.terminal}});
  (void)journal_.Append(std::move(record));  // nothing runs either way
}

void Approvals::RecordEnd(const Entry& entry) {
  journal::Record record = RecordOf(entry);
  nlohmann::json detail = DetailOf(entry);
  detail["by"] = entry.answer->by;
  detail["after_ms"] = entry.answer->after.count();
  record.verdict = policy::Action::kDeny;
  if (entry.state == State::kExpired && entry.ask->on_timeout == policy::Action::kAllow) {
    record.verdict = policy::Action::kAllow;
  }
  record.result = StateName(entry.state);
  record.reason = entry.answer->reason;
  record.detail = Dump(detail);
  (void)journal_.Append(std::move(record));  // it is over either way
}

void Approvals::RecordOrphan(const Store::Orphan& orphan) {
  journal::Record record = journal::RecordNow(journal::Kind::kAsk, orphan.cell);
  const auto ask = nlohmann::json::parse(orphan.json, nullptr, /*allow_exceptions=*/false);
  if (ask.is_object()) {
    record.pid = ask.value("pid", 0);
    record.exe = ask.value("exe", "");
    record.argv = ask.value("argv", std::vector<std::string>());
    record.cwd = ask.value("cwd", "");
  }
  record.verdict = policy::Action::kDeny;
  record.result = "denied";
  record.reason = "the broker was restarted while it waited";
  record.detail = Dump({{"id", orphan.id},
                        {"digest", ask.is_object() ? ask.value("digest", "") : ""},
                        {"by", "restart"}});
  (void)journal_.Append(std::move(record));  // nobody waits for it
}

bool Approvals::RecordRule(const Rule& rule, const char* result, const std::string& by) {
  journal::Record record = journal::RecordNow(journal::Kind::kAsk, rule.cell_id);
  record.exe = rule.exe;
  record.verdict = rule.verdict;
  record.rule = {.name = "remembered " + rule.id, .layer = policy::Layer::kRemembered, .at = {}};
  record.result = result;
  nlohmann::json detail = {{"rule", rule.id},
                           {"scope", ScopeName(rule.scope)},
                           {"workspace", rule.workspace},
                           {"text", rule.text},
                           {"by", by},
                           {"ask", rule.ask}};
  if (rule.expires) detail["expires"] = ExpiryText(*rule.expires);
  record.detail = Dump(detail);
  return journal_.Append(std::move(record)) != 0;
}

}  // namespace cellrun::approvals
