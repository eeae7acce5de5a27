# SPDX-License-Identifier: Apache-2.0
# Run after a lane binary is linked: writes the ctest entries of its cases to OUTPUT. FACTOR: how much longer than usual
# a case may take.
execute_process(COMMAND ${BINARY} --gtest_list_tests OUTPUT_VARIABLE listing RESULT_VARIABLE status TIMEOUT 30)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${BINARY} does not list its cases: ${status}")
endif()

set(entries "")
string(REPLACE ";" "\\;" listing "${listing}")
string(REPLACE "\n" ";" lines "${listing}")
foreach(line IN LISTS lines)
  string(REGEX REPLACE "[ ]*#.*$" "" line "${line}")  # the parameter of a parametrised case
  if(line MATCHES "^([A-Za-z0-9_/]+)\\.$")
    set(suite ${CMAKE_MATCH_1})
  elseif(line MATCHES "^  ([A-Za-z0-9_/]+)$")
    set(case ${CMAKE_MATCH_1})
    if(suite MATCHES "DISABLED_" OR case MATCHES "DISABLED_")
      message(FATAL_ERROR "${suite}.${case}: a disabled case is no case; delete it or make it run")
    endif()
    set(seconds 120)
    set(speed "")
    if(suite MATCHES "SlowTest")
      set(seconds 600)
      set(speed ";slow")
    endif()
    math(EXPR seconds "${seconds} * ${FACTOR}")
    set(alone "")
    # A hundred at once want the machine; what others of the same user send each other counts against
    # a broker with few descriptors (ETOOMANYREFS).
    if(suite MATCHES "Crowd|DescriptorLimits")
      set(alone " RUN_SERIAL TRUE")
    endif()
    math(EXPR inner "${seconds} - 15")
    set(lanes root user)
    if(case MATCHES "^AsRoot")
      set(lanes root)
    elseif(case MATCHES "^AsUser")
      set(lanes user)
    endif()
    foreach(lane IN LISTS lanes)
      set(id "${lane}.${suite}.${case}")
      string(APPEND entries
        "add_test([==[${id}]==] [==[${RUNNER}]==] ${lane} ${NAME} [==[${suite}.${case}]==])\n"
        "set_tests_properties([==[${id}]==] PROPERTIES LABELS \"lane-${lane}${speed}\" TIMEOUT ${seconds}${alone}"
        " SKIP_RETURN_CODE 77 ENVIRONMENT CELLRUN_TEST_TIMEOUT=${inner})\n")
    endforeach()
  endif()
endforeach()
file(WRITE ${OUTPUT} "${entries}")
