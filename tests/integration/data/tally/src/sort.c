// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "tally.h"

static int compare(const void* left, const void* right) {
  const struct entry *a = left, *b = right;
  if (a->count != b->count) return a->count < b->count ? 1 : -1;
  return strcmp(a->word, b->word);
}

void order(struct table* table) {
  qsort(table->entries, table->used, sizeof *table->entries, compare);
}
