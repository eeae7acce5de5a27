# SPDX-License-Identifier: Apache-2.0
# The Debian package: `./dev deb`, or the target `package` of any build directory.
install(FILES README.md LICENSE NEWS.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME cellrun)
set(CPACK_PACKAGE_CONTACT "The cellrun authors <cellrun@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "run programs nobody fully trusts in a cell")
set(CPACK_PACKAGE_DESCRIPTION "cellrun runs a coding agent, a build or a script in a cell, where the kernel
stops it at each execve until a broker outside the cell has judged that command
under a profile. What runs is compared with what was judged, and recorded.
.
Nothing of it is setuid, and no service has to be enabled.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/debian.cmake)
include(CPack)
