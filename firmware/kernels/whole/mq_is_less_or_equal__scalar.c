/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int32_t mq_is_less_or_equal(float a, float b) {
    return a <= b;
}
