# SPDX-License-Identifier: Apache-2.0
# A module is four lines: cellrun_library(NAME SOURCES … DEPS … TESTS …). Dependencies are PRIVATE unless named under
# PUBLIC_DEPS, so a forbidden include does not link.

include(GoogleTest)

function(cellrun_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS;PUBLIC_DEPS;TESTS;TEST_DEPS" ${ARGN})
  add_library(cellrun_${name} STATIC ${ARG_SOURCES})
  add_library(cellrun::${name} ALIAS cellrun_${name})
  target_link_libraries(cellrun_${name} PUBLIC cellrun_options ${ARG_PUBLIC_DEPS} PRIVATE ${ARG_DEPS})
  if(ARG_TESTS AND BUILD_TESTING)
    cellrun_test(${name}_test SOURCES ${ARG_TESTS} DEPS cellrun::${name} ${ARG_DEPS} ${ARG_TEST_DEPS} LABEL unit)
  endif()
endfunction()

# cellrun_test(NAME SOURCES … DEPS … LABEL unit|cell [TIMEOUT seconds]): every TEST is a ctest case of its own, so all run in
# parallel.
function(cellrun_test name)
  cmake_parse_arguments(ARG "" "LABEL;TIMEOUT" "SOURCES;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  math(EXPR ARG_TIMEOUT "${ARG_TIMEOUT} * ${CELLRUN_TIME_FACTOR}")
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE cellrun_options ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  if(ARG_LABEL STREQUAL "unit")
    gtest_discover_tests(${name} DISCOVERY_TIMEOUT 30 PROPERTIES LABELS unit TIMEOUT ${ARG_TIMEOUT})
  endif()
endfunction()

# cellrun_program(NAME [LIBEXEC] SOURCES … DEPS …)
function(cellrun_program name)
  cmake_parse_arguments(ARG "LIBEXEC" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE cellrun_options ${ARG_DEPS})
  if(CELLRUN_SANITIZE)
    target_sources(${name} PRIVATE ${PROJECT_SOURCE_DIR}/lib/base/sanitizer_defaults.cc)
  endif()
  if(ARG_LIBEXEC)
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CELLRUN_LIBEXEC_OUTPUT})
    install(TARGETS ${name} RUNTIME DESTINATION libexec/cellrun)
  else()
    install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endfunction()
