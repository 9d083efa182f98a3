/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}
