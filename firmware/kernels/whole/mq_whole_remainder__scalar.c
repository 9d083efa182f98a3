/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_remainder(int64_t a, int64_t b) {
    return b == 0 || b == -1 ? 0 : a % b;
}
