/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_equal(int64_t a, int64_t b) {
    return a == b;
}
