/* SPDX-License-Identifier: Apache-2.0 */
#include "mq_map.h"

float mq_fn_reciprocal(float x, const float *parameters) {
    (void)parameters;
    return 1.0f / x;
}
