// SPDX-License-Identifier: Apache-2.0
#include "tally.h"

void histogram(const struct table* table) {
  for (size_t i = 0; i < table->used; ++i) {
    printf("%-12s ", table->entries[i].word);
    for (size_t bar = 0; bar < table->entries[i].count && bar < 60; ++bar) putchar('#');
    putchar('\n');
  }
}
