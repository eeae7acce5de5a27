# SPDX-License-Identifier: Apache-2.0
# cellrun_lane_test(NAME SOURCES … DEPS …): a GoogleTest binary whose every case is run twice by ctest, as
# root.Suite.Case and as user.Suite.Case, each through tests/support/run_in_lane. A case whose name begins with
# AsRoot or AsUser makes its claim for that lane only. A suite whose name ends in SlowTest gets the label `slow`
# and ten minutes.

function(cellrun_lane_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/lanes)
  target_link_libraries(${name} PRIVATE cellrun_options cellrun::test_support ${ARG_DEPS}
    GTest::gtest GTest::gmock)
  set(cases ${CMAKE_CURRENT_BINARY_DIR}/${name}_lanes.cmake)
  add_custom_command(TARGET ${name} POST_BUILD
    COMMAND ${CMAKE_COMMAND} -D BINARY=$<TARGET_FILE:${name}> -D NAME=${name} -D OUTPUT=${cases} -D FACTOR=1
      -D RUNNER=${PROJECT_SOURCE_DIR}/tests/support/run_in_lane -P ${PROJECT_SOURCE_DIR}/cmake/list_lanes.cmake
    VERBATIM)
  # A configured tree that was never built: one failing entry, instead of no tests.
  set(include ${CMAKE_CURRENT_BINARY_DIR}/${name}_include.cmake)
  file(WRITE ${include} "if(EXISTS \"${cases}\")\n  include(\"${cases}\")\nelse()\n  add_test(${name}_NOT_BUILT ${name}_NOT_BUILT)\nendif()\n")
  set_property(DIRECTORY APPEND PROPERTY TEST_INCLUDE_FILES ${include})
endfunction()
