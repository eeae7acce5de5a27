# SPDX-License-Identifier: Apache-2.0
# Third-party libraries, all from the distribution; each is used by one folder (see docs/architecture.md).
# Static archives where the launcher needs them: it starts once for every command.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED COMPONENTS Crypto)
find_package(SQLite3 REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
if(BUILD_TESTING)
  find_package(GTest REQUIRED)
endif()

function(cellrun_static_dependency name header)
  find_path(${name}_INCLUDE ${header} REQUIRED)
  if(CELLRUN_STATIC_LAUNCHER)
    find_library(${name}_LIBRARY NAMES lib${name}.a REQUIRED)
  else()
    find_library(${name}_LIBRARY NAMES ${name} REQUIRED)
  endif()
  add_library(dep_${name} INTERFACE)
  target_include_directories(dep_${name} SYSTEM INTERFACE ${${name}_INCLUDE})
  target_link_libraries(dep_${name} INTERFACE ${${name}_LIBRARY} Threads::Threads)
endfunction()
cellrun_static_dependency(yaml-cpp yaml-cpp/yaml.h)
cellrun_static_dependency(re2 re2/re2.h)
cellrun_static_dependency(ncursesw ncurses.h)
cellrun_static_dependency(tinfo term.h)
target_link_libraries(dep_ncursesw INTERFACE dep_tinfo)

# The broker's only: DNS messages.
find_path(ldns_INCLUDE ldns/ldns.h REQUIRED)
find_library(ldns_LIBRARY NAMES ldns REQUIRED)
add_library(dep_ldns INTERFACE)
target_include_directories(dep_ldns SYSTEM INTERFACE ${ldns_INCLUDE})
target_link_libraries(dep_ldns INTERFACE ${ldns_LIBRARY})
