// SPDX-License-Identifier: Apache-2.0
// Counts words of standard input and prints them, most frequent first.
#ifndef TALLY_H
#define TALLY_H
#include <config.h>
#include <stddef.h>
#include <stdio.h>

struct entry {
  char* word;
  size_t count;
};
struct table {
  struct entry* entries;
  size_t used, size;
};
struct options {
  int lines, top, histogram;
};

int parse_options(int argc, char** argv, struct options* options);
int next_word(FILE* file, int lines, char* buffer, size_t size);
void add(struct table* table, const char* word);
struct entry* find(struct table* table, const char* word);
void order(struct table* table);
void print(const struct table* table, const struct options* options);
void histogram(const struct table* table);
#endif
