# What clients of the repositories see. CloudFront asks the read API for paths of repositories, and the bucket for files:
# the API sends small files itself, indexes above all, and of a large one it says where it lies by its digest.

locals {
  # Policies that AWS keeps, the same in every account.
  caching_optimized             = "658327ea-f89d-4fab-a63d-7439e2b9fb6f"
  all_viewer_except_host_header = "b689b0a8-53d0-40ab-baf2-68738e2966ac"
}

resource "aws_cloudfront_origin_access_control" "artifacts" {
  name                              = "${var.prefix}-artifacts"
  description                       = "CloudFront signs what it asks of the bucket, and the bucket answers nobody else."
  origin_access_control_origin_type = "s3"
  signing_behavior                  = "always"
  signing_protocol                  = "sigv4"
}

# Pointers flip, so a path is kept for as long as the read API says: 5 seconds.
resource "aws_cloudfront_cache_policy" "repositories" {
  name        = "${var.prefix}-repositories"
  comment     = "Paths of repositories, for at most a minute."
  min_ttl     = 0
  default_ttl = 5
  max_ttl     = 60

  parameters_in_cache_key_and_forwarded_to_origin {
    enable_accept_encoding_brotli = false
    enable_accept_encoding_gzip   = false

    cookies_config {
      cookie_behavior = "none"
    }

    headers_config {
      header_behavior = "none"
    }

    query_strings_config {
      query_string_behavior = "none"
    }
  }
}

resource "aws_cloudfront_response_headers_policy" "repositories" {
  name    = "${var.prefix}-repositories"
  comment = "For browsers that look into a repository."

  security_headers_config {
    content_type_options {
      override = true
    }

    strict_transport_security {
      access_control_max_age_sec = 31536000
      override                   = true
    }
  }
}

resource "aws_cloudfront_distribution" "repositories" {
  comment         = "Repositories of ${var.prefix}."
  enabled         = true
  is_ipv6_enabled = true
  http_version    = "http2and3"
  price_class     = var.price_class
  aliases         = var.aliases

  origin {
    origin_id                = "artifacts"
    domain_name              = var.bucket_regional_domain_name
    origin_access_control_id = aws_cloudfront_origin_access_control.artifacts.id
  }

  origin {
    origin_id   = "read-api"
    domain_name = var.api_domain_name

    custom_origin_config {
      http_port              = 80
      https_port             = 443
      origin_protocol_policy = "https-only"
      origin_ssl_protocols   = ["TLSv1.2"]
    }
  }

  # The bucket lets the distribution read files by their digests, and answers 403 for everything else.
  default_cache_behavior {
    target_origin_id           = "artifacts"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    viewer_protocol_policy     = var.plain_http ? "allow-all" : "redirect-to-https"
    cache_policy_id            = local.caching_optimized
    response_headers_policy_id = aws_cloudfront_response_headers_policy.repositories.id
    compress                   = false
  }

  # Repositories alone: questions of the command line and pages change with each look, and logs are asked for by query.
  ordered_cache_behavior {
    path_pattern               = "/repos*"
    target_origin_id           = "read-api"
    allowed_methods            = ["GET", "HEAD"]
    cached_methods             = ["GET", "HEAD"]
    viewer_protocol_policy     = var.plain_http ? "allow-all" : "redirect-to-https"
    cache_policy_id            = aws_cloudfront_cache_policy.repositories.id
    origin_request_policy_id   = local.all_viewer_except_host_header
    response_headers_policy_id = aws_cloudfront_response_headers_policy.repositories.id
    compress                   = false
  }

  restrictions {
    geo_restriction {
      restriction_type = "none"
    }
  }

  viewer_certificate {
    cloudfront_default_certificate = var.certificate_arn == null
    acm_certificate_arn            = var.certificate_arn
    ssl_support_method             = var.certificate_arn == null ? null : "sni-only"
    minimum_protocol_version       = var.certificate_arn == null ? "TLSv1" : "TLSv1.2_2021"
  }
}

# CloudFront counts in us-east-1, wherever the installation is, and an alarm rings only to a topic of its region.
resource "aws_cloudwatch_metric_alarm" "errors" {
  count = var.us_east_1_alarms == null ? 0 : 1

  region              = "us-east-1"
  alarm_name          = "${var.prefix}-publishing-5xx"
  alarm_description   = "More than one of a hundred answers to clients of the repositories is a 5xx."
  namespace           = "AWS/CloudFront"
  metric_name         = "5xxErrorRate"
  dimensions          = { DistributionId = aws_cloudfront_distribution.repositories.id, Region = "Global" }
  statistic           = "Average"
  period              = 300
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [var.us_east_1_alarms.topic_arn]
  ok_actions          = [var.us_east_1_alarms.topic_arn]
}
