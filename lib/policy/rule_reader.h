// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lib/policy/document.h"
#include "lib/policy/field_reader.h"
#include "lib/policy/yaml_tree.h"

namespace cellrun::policy {

// The rules of one document: `commands.rules`, `network.rules`, `syscalls.rules`. Each takes the
// list and adds to the document; combinations that make no sense are noted by the reader.
void ReadCommandRules(const FieldReader& reader, const YamlNode& list, Document* document);
void ReadNetworkRules(const FieldReader& reader, const YamlNode& list, Document* document);
void ReadSyscallRules(const FieldReader& reader, const YamlNode& list, Document* document);

// `ghost` of a rule, and the same keys of a tool.
void ReadGhost(const FieldReader& reader, const YamlNode& map, Document* document, Ghost* ghost);

}  // namespace cellrun::policy
