# SPDX-License-Identifier: Apache-2.0
# cellrun_bpf(NAME HEADERS …): NAME.bpf.c, compiled for the kernel's virtual machine, as the target cellrun::bpf_NAME, whose
# users may include "NAME.skel.h" and the headers beside the source. g++ 12 has no such back end in Debian's build.
find_program(BPF_CLANG NAMES clang-14 clang REQUIRED)
find_program(BPFTOOL bpftool PATHS /usr/sbin /sbin REQUIRED)
find_path(libbpf_INCLUDE bpf/libbpf.h REQUIRED)
find_library(libbpf_LIBRARY NAMES bpf REQUIRED)
add_library(dep_libbpf INTERFACE)
target_include_directories(dep_libbpf SYSTEM INTERFACE ${libbpf_INCLUDE})
target_link_libraries(dep_libbpf INTERFACE ${libbpf_LIBRARY})

function(cellrun_bpf name)
  cmake_parse_arguments(ARG "" "" "HEADERS" ${ARGN})
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}.bpf.c)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${name}.bpf.o)
  set(skeleton ${CMAKE_CURRENT_BINARY_DIR}/skeleton/${name}.skel.h)
  list(TRANSFORM ARG_HEADERS PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/)
  # -g makes the type information that libbpf reads maps from; `gen object` leaves only that of it.
  add_custom_command(OUTPUT ${skeleton}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${CMAKE_CURRENT_BINARY_DIR}/skeleton
    COMMAND ${BPF_CLANG} -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Werror -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -fdebug-prefix-map=${PROJECT_SOURCE_DIR}=. -c ${source} -o ${object}.unlinked
    COMMAND ${BPFTOOL} gen object ${object} ${object}.unlinked
    COMMAND ${BPFTOOL} gen skeleton ${object} name ${name} > ${skeleton}
    DEPENDS ${source} ${ARG_HEADERS}
    COMMENT "Building the BPF programs of ${name}"
    VERBATIM)
  add_custom_target(cellrun_bpf_${name}_skeleton DEPENDS ${skeleton})
  add_library(cellrun_bpf_${name} INTERFACE)
  add_library(cellrun::bpf_${name} ALIAS cellrun_bpf_${name})
  add_dependencies(cellrun_bpf_${name} cellrun_bpf_${name}_skeleton)
  # bpftool's C is not held to our warnings.
  target_include_directories(cellrun_bpf_${name} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR}/skeleton)
  target_link_libraries(cellrun_bpf_${name} INTERFACE dep_libbpf)
endfunction()
