// SPDX-License-Identifier: Apache-2.0
#include "tally.h"

int main(int argc, char** argv) {
  struct options options = {0, 0, 0};
  struct table table = {NULL, 0, 0};
  char word[256];
  if (parse_options(argc, argv, &options) != 0) return 2;
  while (next_word(stdin, options.lines, word, sizeof word)) add(&table, word);
  order(&table);
  if (options.histogram) {
    histogram(&table);
  } else {
    print(&table, &options);
  }
  return ferror(stdin) ? 1 : 0;
}
