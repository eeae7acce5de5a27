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
