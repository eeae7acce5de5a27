// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "tally.h"

void add(struct table* table, const char* word) {
  struct entry* entry = find(table, word);
  if (entry == NULL) {
    if (table->used == table->size) {
      table->size = table->size == 0 ? 16 : 2 * table->size;
      table->entries = realloc(table->entries, table->size * sizeof *table->entries);
      if (table->entries == NULL) abort();
    }
    entry = &table->entries[table->used++];
    entry->word = strdup(word);
    entry->count = 0;
  }
  entry->count++;
}
