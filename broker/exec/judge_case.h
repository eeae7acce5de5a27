// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "broker/exec/chain.h"
#include "broker/exec/exec_call.h"
#include "broker/exec/judge.h"
#include "broker/notify/remote_memory.h"

namespace cellrun::exec {

// One notification on its way to a Judgement. A step returns whether there is more to find out;
// where it returns false, the answer is there.
class Judge::Case {
 public:
  Case(Judge& judge, const seccomp_notif& notification, notify::Lane& lane);
  Judgement Run();

 private:
  // Ways to end. All return false.
  bool Gone();
  bool Missing(int error);
  bool Refuse(int error, std::string reason);
  bool Unreadable(const Error& error, const char* what);

  // What it would do, from its task: judge_reading.cc.
  void StartRecord();
  bool ReadCall();
  bool ReadPath();
  bool ChooseView();
  bool Find();
  bool ReadArguments();
  bool ReadSurroundings();
  bool RecognizeDirectory();
  bool RecognizeParent();
  bool UnwrapAll();
  void FillRequest();
  void FillRecord();
  [[nodiscard]] const Resolver& resolver() const;

  // Whether it is what was decided before: judge_ticket.cc.
  void MatchTicket();
  std::string Difference(const Sealed& sealed);
  [[nodiscard]] std::string WritableImage() const;
  bool IsSealedImage(std::size_t i, const Sealed::Image& image);

  // What the policy says of it, and what follows: judge_weighing.cc.
  bool HashImages();
  [[nodiscard]] bool HashHolds(std::size_t image) const;
  void Weigh();
  [[nodiscard]] policy::Verdict AskPolicy();
  policy::Verdict AskRules();
  [[nodiscard]] bool MayPropose() const;
  void Observe();
  void Allow();
  void Ask();
  void Check();
  void RunElsewhere();
  void PrepareRewrite();
  bool Prepare();
  void Deny();
  void DenyBecause(std::string why);

  Judge& judge_;
  const std::shared_ptr<const PolicyView> view_;
  const pid_t tid_;
  const seccomp_data& data_;
  notify::Lane& lane_;
  notify::RemoteMemory memory_;
  Judgement out_;
  ExecCall call_;
  Lookup lookup_;
  std::optional<Resolver> own_view_;  // in a cell whose tasks may have one
  File named_;
  Chain chain_;
  bool hash_may_change_ = false;
  std::optional<std::string> proposal_;  // the caller's words
  bool denied_by_rule_ = false;          // and asked about only because of them
};

}  // namespace cellrun::exec
