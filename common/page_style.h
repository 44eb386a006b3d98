/* The style of the HTML page: on a screen, light and dark, and in print. */
#ifndef GQA_COMMON_PAGE_STYLE_H
#define GQA_COMMON_PAGE_STYLE_H

extern const char gqa_page_style[];

#endif
