/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_mod_unsigned(int64_t a, int64_t b) {
    return b == 0 ? 0 : (int64_t)((uint64_t)a % (uint64_t)b);
}
