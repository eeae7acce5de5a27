// SPDX-License-Identifier: Apache-2.0
#include <ctype.h>

#include "tally.h"

int next_word(FILE* file, int lines, char* buffer, size_t size) {
  size_t length = 0;
  for (int byte = 0; (byte = getc(file)) != EOF;) {
    const int end = lines ? byte == '\n' : isspace(byte);
    if (end && length > 0) break;
    if (!end && length + 1 < size) buffer[length++] = (char)byte;
  }
  buffer[length] = '\0';
  return length > 0;
}
