// SPDX-License-Identifier: Apache-2.0
// The result does not depend on where the input is cut, grows nothing, and has no clipboard write
// in any form.
#include "launcher/terminal/output_filter.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "lib/base/check.h"

using cellrun::terminal::OutputFilter;

namespace {

bool HasClipboardWrite(std::string_view shown) {
  for (const std::string_view introducer :
       {std::string_view("\x1b]"), std::string_view("\xc2\x9d")}) {
    for (auto at = shown.find(introducer); at != std::string_view::npos;
         at = shown.find(introducer, at + 1)) {
      std::string_view rest = shown.substr(at + introducer.size());
      while (rest.starts_with('0')) rest.remove_prefix(1);
      if (rest.starts_with("52;")) return true;
    }
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  std::string whole;
  OutputFilter filter;
  filter.Process(bytes, whole);
  CHECK(whole.size() <= 2 * bytes.size());  // an 8-bit control is written as its ESC form
  CHECK(!HasClipboardWrite(whole));

  std::string single;
  OutputFilter bytewise;
  for (const char byte : bytes) bytewise.Process(std::string_view(&byte, 1), single);
  CHECK(single == whole);
  CHECK(filter.saw_query() == bytewise.saw_query());

  // What passed is drawing: it passes again, except for an end that may be a beginning.
  std::string again;
  OutputFilter second;
  second.Process(whole, again);
  CHECK(whole.starts_with(again) && whole.size() - again.size() <= 1);
  return 0;
}
