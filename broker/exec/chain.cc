// SPDX-License-Identifier: Apache-2.0
#include "broker/exec/chain.h"

#include <fcntl.h>

#include <utility>

#include "broker/exec/loader.h"

namespace cellrun::exec {
namespace {

class Unwrapper {
 public:
  Unwrapper(const Resolver& resolver, ImageInspector& inspector, ChainRequest request)
      : resolver_(resolver), inspector_(inspector), request_(std::move(request)) {
    chain_.final_argv = request_.argv;
    chain_.judged_argv = request_.argv;
  }

  Result<Chain> Run(File named) {
    Lookup lookup = request_.lookup;
    std::string name = request_.name;
    File file = std::move(named);
    for (int interpreters = 0;; ++interpreters) {
      if (const int refused = CannotExecute(file)) return Error(refused, "execve");
      ImageFormat format = TRY(inspector_.Inspect(file));
      const bool script = format.kind == ImageFormat::Kind::kScript;
      Add(std::move(file), script ? lookup : Lookup{}, script);
      if (format.kind == ImageFormat::Kind::kLoader) return Load();
      if (!script) break;
      if (interpreters == kMaxInterpreters) return Error(ELOOP, "execve");
      Rewrite(name, format.shebang);
      name = std::move(format.shebang.interpreter);
      // open_exec(): an ordinary lookup, from the working directory if it is relative.
      lookup = {.tid = request_.lookup.tid, .path = name};
      file = TRY(resolver_.Resolve(lookup));
    }
    chain_.final_image = chain_.images.size() - 1;
    return std::move(chain_);
  }

 private:
  // `lookup`: how the interpreter will find the file again; without a task for what is executed
  // itself, and therefore verified.
  void Add(File file, const Lookup& lookup, bool script) {
    policy::ExecImage image;
    image.path = file.path;
    image.id = file.id();
    image.kind = script ? policy::ExecImage::Kind::kScript : policy::ExecImage::Kind::kBinary;
    image.anonymous = file.anonymous;
    image.writable = file.on_writable_mount || file.anonymous;
    // An interpreter is judged with the arguments that the kernel makes for it, not with the
    // script's.
    if (!chain_.images.empty()) image.argv = chain_.final_argv;
    if (!image.writable && lookup.tid > 0) image.writable = !resolver_.IsStable(lookup, file);
    chain_.images.push_back(std::move(image));
    chain_.files.push_back(std::move(file));
  }

  // What load_script() does to the arguments.
  void Rewrite(const std::string& name, const Shebang& shebang) {
    std::vector<std::string>& argv = chain_.final_argv;
    argv.erase(argv.begin());
    argv.insert(argv.begin(), name);
    if (shebang.argument.has_value()) argv.insert(argv.begin(), *shebang.argument);
    argv.insert(argv.begin(), shebang.interpreter);
    const std::size_t added = shebang.argument.has_value() ? 2 : 1;
    for (std::size_t& at : chain_.script_arguments) at += added;
    chain_.script_arguments.push_back(added);
  }

  // The image is a loader: find what it will run.
  Result<Chain> Load() {
    const bool direct = chain_.images.size() == 1;
    chain_.final_image = chain_.images.size() - 1;
    LoaderCommand command = ParseLoaderCommand(chain_.final_argv);
    if (command.kind == LoaderCommand::Kind::kNothing) return std::move(chain_);
    if (command.kind == LoaderCommand::Kind::kRefused) {
      chain_.refused = "the dynamic loader's argument '" + command.refused + "' cannot be judged";
      return std::move(chain_);
    }
    const std::string path = chain_.final_argv[command.program];
    const Lookup lookup{.tid = request_.lookup.tid, .path = path};
    File payload = TRY(resolver_.Resolve(lookup));
    // The loader maps it: neither the x bit nor an interpreter matters, but a payload that could
    // be a pipe or another loader cannot be judged.
    if (!S_ISREG(payload.facts.st_mode)) return Error(EACCES, "execve");
    if (TRY(inspector_.Inspect(payload)).kind == ImageFormat::Kind::kLoader) {
      chain_.refused = "a dynamic loader that runs a dynamic loader cannot be judged";
    }
    Add(std::move(payload), lookup, false);
    chain_.images.back().argv = command.argv;
    if (direct) {
      std::swap(chain_.images[0], chain_.images[1]);
      std::swap(chain_.files[0], chain_.files[1]);
      chain_.final_image = 1;
      chain_.judged_argv = std::move(command.argv);
    }
    return std::move(chain_);
  }

  const Resolver& resolver_;
  ImageInspector& inspector_;
  const ChainRequest request_;
  Chain chain_;
};

}  // namespace

Result<Chain> Unwrap(const Resolver& resolver, ImageInspector& inspector, ChainRequest request,
                     File named) {
  return Unwrapper(resolver, inspector, std::move(request)).Run(std::move(named));
}

}  // namespace cellrun::exec
