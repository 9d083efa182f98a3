/* The self-test as a program of its own. In a program that has a `main`, leave this file out and call `selftest`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "selftest.h"

int main(void) {
    return selftest();
}
