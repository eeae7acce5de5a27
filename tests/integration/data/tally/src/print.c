// SPDX-License-Identifier: Apache-2.0
#include "tally.h"

void print(const struct table* table, const struct options* options) {
  for (size_t i = 0; i < table->used; ++i) {
    if (options->top != 0 && i >= (size_t)options->top) break;
    printf("%zu %s ", table->entries[i].count, table->entries[i].word);
  }
  putchar('\n');
}
