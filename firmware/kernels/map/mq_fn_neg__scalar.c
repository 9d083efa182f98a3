/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_neg(float x, const float *parameters) {
    (void)parameters;
    return -x;
}
