// SPDX-License-Identifier: Apache-2.0
#include "lib/base/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <mutex>

#include "lib/base/text.h"

namespace cellrun::log {
namespace {

// One write(2) a line, so that lines of several processes do not mix in a shared log file.
class WriteSink : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    (void)!write(STDERR_FILENO, line.data(), line.size());  // nowhere to report a full log disk
  }
  void flush_() override {}
};

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("cellrun", std::make_shared<WriteSink>());
    made->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        "%Y-%m-%dT%H:%M:%S.%eZ %P %l %v", spdlog::pattern_time_type::utc));
    return made;
  }();
  return *logger;
}

void Write(spdlog::level::level_enum level, std::string_view message,
           std::initializer_list<Field> fields) {
  std::string line(message);
  for (const Field& field : fields) {
    line.append(" ").append(field.name).append("=").append(text::Quote(field.value));
  }
  Logger().log(level, "{}", line);
}

}  // namespace

void Info(std::string_view message, std::initializer_list<Field> fields) {
  Write(spdlog::level::info, message, fields);
}
void Warn(std::string_view message, std::initializer_list<Field> fields) {
  Write(spdlog::level::warn, message, fields);
}
void Fail(std::string_view message, std::initializer_list<Field> fields) {
  Write(spdlog::level::err, message, fields);
}

}  // namespace cellrun::log
