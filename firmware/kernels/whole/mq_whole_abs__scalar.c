/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_abs(int64_t a, int64_t b) {
    (void)b;
    return a < 0 ? (int64_t)(0u - (uint64_t)a) : a;
}
