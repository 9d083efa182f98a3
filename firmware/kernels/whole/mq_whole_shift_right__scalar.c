/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_shift_right(int64_t a, int64_t b) {
    if (b < 0 || b > 63) {
        return a < 0 ? -1 : 0;
    }
    const uint64_t moved = (uint64_t)(a < 0 ? ~a : a) >> b;
    return a < 0 ? ~(int64_t)moved : (int64_t)moved;
}
