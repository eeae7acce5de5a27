// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "tally.h"

struct entry* find(struct table* table, const char* word) {
  for (size_t i = 0; i < table->used; ++i) {
    if (strcmp(table->entries[i].word, word) == 0) return &table->entries[i];
  }
  return NULL;
}
