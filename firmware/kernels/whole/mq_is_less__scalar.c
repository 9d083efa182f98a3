/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_whole.h"

int32_t mq_is_less(float a, float b) {
    return a < b;
}
