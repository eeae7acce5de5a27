# SPDX-License-Identifier: Apache-2.0
# One interface target carries what every translation unit is compiled with.

option(CELLRUN_WERROR "Treat warnings as errors" OFF)
option(CELLRUN_STATIC_LAUNCHER "Link the launcher statically: it starts in half the time" ON)
set(CELLRUN_SANITIZE "" CACHE STRING "Sanitizers, for example address,undefined or thread")

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# The build tree has the installed layout, so a program finds the others relative to itself either way.
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CELLRUN_LIBEXEC_OUTPUT ${CMAKE_BINARY_DIR}/libexec/cellrun)

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

add_library(cellrun_options INTERFACE)
target_include_directories(cellrun_options INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
target_compile_definitions(cellrun_options INTERFACE _GNU_SOURCE)
target_compile_options(cellrun_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wold-style-cast
  -Wnon-virtual-dtor -Wimplicit-fallthrough -Wundef
  -fstack-protector-strong -fno-strict-aliasing)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # g++ 12 sees uninitialised members in std::optional and std::variant that are not there (PR 105562, 105593).
  target_compile_options(cellrun_options INTERFACE -Wno-maybe-uninitialized)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(cellrun_options INTERFACE -Wno-gnu-statement-expression -Wno-c99-extensions)
endif()
if(CELLRUN_WERROR)
  target_compile_options(cellrun_options INTERFACE -Werror)
endif()
set(CELLRUN_TIME_FACTOR 1)  # of every time limit of a test
if(CELLRUN_SANITIZE)
  set(CELLRUN_TIME_FACTOR 4)
  # What a sanitizer finds ends the process: a message that nobody reads is no finding.
  target_compile_options(cellrun_options INTERFACE -fsanitize=${CELLRUN_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_compile_definitions(cellrun_options INTERFACE CELLRUN_SANITIZED)
  target_link_options(cellrun_options INTERFACE -fsanitize=${CELLRUN_SANITIZE})
  set(CELLRUN_STATIC_LAUNCHER OFF)  # their runtimes are shared libraries
elseif(CMAKE_BUILD_TYPE MATCHES "Release|RelWithDebInfo|MinSizeRel")
  target_compile_options(cellrun_options INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
target_link_options(cellrun_options INTERFACE -Wl,-z,relro,-z,now)

# What both programs say first to each other: the release, and the exact sources it was built from.
execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} describe --always --dirty --abbrev=12
  OUTPUT_VARIABLE CELLRUN_BUILD_ID OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT CELLRUN_BUILD_ID)
  set(CELLRUN_BUILD_ID "release")
endif()
configure_file(${PROJECT_SOURCE_DIR}/cmake/version.h.in ${PROJECT_BINARY_DIR}/generated/lib/base/version.h)
