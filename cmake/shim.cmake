# SPDX-License-Identifier: Apache-2.0
# cellrun_shim(SOURCES … HEADERS …): the static program that runs inside every cell. It is built with musl and without the
# C++ library, with the same compiler and flags in every preset: a sanitizer's runtime would not fit into PID 1, and clang
# does not read the -specs that musl-gcc is made of.

find_program(MUSL_GCC musl-gcc REQUIRED)

set(CELLRUN_SHIM_FLAGS
  -x c++ -std=c++20 -Os -nostdinc++ -fno-exceptions -fno-rtti -fno-threadsafe-statics -fno-asynchronous-unwind-tables
  -fno-strict-aliasing -fstack-protector-strong -ffunction-sections -fdata-sections -D_GNU_SOURCE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast -Wundef
  -idirafter /usr/include -idirafter /usr/include/${CMAKE_LIBRARY_ARCHITECTURE})
if(CELLRUN_WERROR)
  list(APPEND CELLRUN_SHIM_FLAGS -Werror)
endif()

function(cellrun_shim)
  cmake_parse_arguments(ARG "" "" "SOURCES;HEADERS" ${ARGN})
  list(TRANSFORM ARG_SOURCES PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  list(TRANSFORM ARG_HEADERS PREPEND ${PROJECT_SOURCE_DIR}/)
  set(shim ${CELLRUN_LIBEXEC_OUTPUT}/cellrun-shim)
  add_custom_command(OUTPUT ${shim}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CELLRUN_LIBEXEC_OUTPUT}
    COMMAND ${MUSL_GCC} ${CELLRUN_SHIM_FLAGS} -I${PROJECT_SOURCE_DIR} ${ARG_SOURCES} -o ${shim}
            -static -s -Wl,--gc-sections -Wl,-z,relro,-z,now -Wl,-z,noexecstack
    DEPENDS ${ARG_SOURCES} ${ARG_HEADERS}
    COMMENT "Building the shim"
    VERBATIM)
  add_custom_target(cellrun_shim ALL DEPENDS ${shim})
  install(PROGRAMS ${shim} DESTINATION libexec/cellrun)
endfunction()
