# SPDX-License-Identifier: Apache-2.0
# Run by CPack on the tree that it is about to pack: what Debian wants in another place or form than `cmake --install`.
set(share ${CPACK_TEMPORARY_DIRECTORY}/usr/share)
set(documents ${share}/doc/${CPACK_PACKAGE_NAME})

file(GLOB pages ${share}/man/man*/*.[1-9])
foreach(page IN LISTS pages)
  execute_process(COMMAND gzip -9n ${page} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# Where Debian's zsh looks for what packages bring.
file(RENAME ${share}/zsh/site-functions ${share}/zsh/vendor-completions)

string(TIMESTAMP year "%Y" UTC)
file(WRITE ${documents}/copyright "Copyright ${year} the cellrun authors\n\n"
  "Licensed under the Apache License, version 2.0, whose text is in\n/usr/share/common-licenses/Apache-2.0.\n")
file(REMOVE ${documents}/LICENSE)

string(TIMESTAMP date "%a, %d %b %Y %H:%M:%S +0000" UTC)  # SOURCE_DATE_EPOCH where it is set
file(WRITE ${documents}/changelog "${CPACK_PACKAGE_NAME} (${CPACK_PACKAGE_VERSION}) unstable; urgency=medium\n\n"
  "  * See NEWS.md.\n\n -- ${CPACK_PACKAGE_CONTACT}  ${date}\n")
execute_process(COMMAND gzip -9n ${documents}/changelog COMMAND_ERROR_IS_FATAL ANY)

# The shim runs where no library is; the launcher is static to start in half the time; there is no address yet.
file(WRITE ${share}/lintian/overrides/${CPACK_PACKAGE_NAME}
  "${CPACK_PACKAGE_NAME}: statically-linked-binary [usr/libexec/cellrun/cellrun-shim]\n"
  "${CPACK_PACKAGE_NAME}: shared-library-lacks-prerequisites [usr/bin/cellrun]\n"
  "${CPACK_PACKAGE_NAME}: bogus-mail-host *\n"
  "${CPACK_PACKAGE_NAME}: bogus-mail-host-in-debian-changelog *\n")
