/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_div(int64_t a, int64_t b) {
    if (b == 0) {
        return 0;
    }
    return b == -1 ? (int64_t)(0u - (uint64_t)a) : a / b;
}
