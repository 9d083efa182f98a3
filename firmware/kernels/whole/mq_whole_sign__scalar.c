/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int64_t mq_whole_sign(int64_t a, int64_t b) {
    (void)b;
    return (a > 0) - (a < 0);
}
