// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <unistd.h>

#include "tally.h"

int parse_options(int argc, char** argv, struct options* options) {
  for (int letter = 0; (letter = getopt(argc, argv, "ln:g")) != -1;) {
    switch (letter) {
      case 'l':
        options->lines = 1;
        break;
      case 'n':
        options->top = atoi(optarg);
        break;
      case 'g':
        options->histogram = 1;
        break;
      default:
        return 1;
    }
  }
  return optind == argc ? 0 : 1;
}
